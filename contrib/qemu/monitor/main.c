/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <unistd.h>

#include "proxy.h"

/* Otherwise a socket could get the number of standard error, and what we say of an
 * error would be sent to somebody's monitor. */
static void standard_descriptors_fill(void) {
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv) {
    static struct options options;

    standard_descriptors_fill();
    options_read(&options, argc, argv);
    return proxy_run(&options);
}

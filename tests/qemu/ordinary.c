/* SPDX-License-Identifier: MIT */
/* An ordinary program, for cost.sh to count what the shim costs it: ROUNDS times
 * 10 calls that have nothing to do with a set. With "attached" it has a set open
 * meanwhile.
 *
 *     ordinary ROUNDS [attached] */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void calls(void) {
    static const char path[] = "/dev/null";
    struct stat status;
    int fd = open(path, O_RDWR | O_CLOEXEC), copy = dup(fd);
    int third = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if (fd < 0 || dup2(fd, third) != third || stat(path, &status) || access(path, W_OK))
        err(1, "%s", path);
    if (close(fd) || close(copy) || close(third))
        err(1, "close");
    if (open("/var/lib/images/no/such/image.qcow2", O_RDONLY) >= 0)
        errx(1, "there is such an image");
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 0;

    if (argc > 2 && open("//dev/fdset/1", O_RDONLY | O_CLOEXEC) < 0)
        err(1, "set 1");
    for (int i = 0; i < rounds; i++)
        calls();
    return 0;
}

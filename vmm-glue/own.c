#include "own.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

/* Below this: more would make the kernel's table of a process large, which every fork(2)
 * copies, and select(2) cannot take it. */
#define USUAL_LIMIT 1024

bool own_descriptors_hide;

static int high(void) {
    struct rlimit limit = {.rlim_cur = USUAL_LIMIT};

    getrlimit(RLIMIT_NOFILE, &limit);
    return (int)(limit.rlim_cur < USUAL_LIMIT ? limit.rlim_cur : USUAL_LIMIT) * 7 / 8;
}

int own_duplicate(int fd, int lowest) {
    int from = own_descriptors_hide ? high() : 0, copy = -1;

    for (; copy < 0 && from > lowest; from /= 2)
        copy = fcntl(fd, F_DUPFD_CLOEXEC, from);
    return copy >= 0 ? copy : fcntl(fd, F_DUPFD_CLOEXEC, lowest);
}

int own_descriptor(int fd) {
    int error = errno;
    int copy = fd < 0 || !own_descriptors_hide ? -1 : own_duplicate(fd, fd + 1);

    if (copy >= 0)
        close(fd);
    errno = error;
    return copy >= 0 ? copy : fd;
}

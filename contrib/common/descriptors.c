/* SPDX-License-Identifier: MIT */
/* Where a program's descriptors stand: low, high or nowhere. */
#include "common/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/say.h"

/* A table of descriptors is as long as its highest number: there is no need to try the limit
 * of a machine that has none. */
#define HIGH_MAX 65536

void standard_streams_fill(void) {
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

int fd_nullify(int fd) {
    int null = open("/dev/null", O_RDWR);

    if (null < 0)
        return -errno;
    int error = dup2(null, fd) < 0 ? -errno : 0;
    if (null != fd)
        close(null);
    return error;
}

int fd_move_high(int fd, const char *what) {
    struct rlimit limit = {.rlim_cur = 1024};

    if (fd < 0)
        die("%s: %s", what, strerror(errno));
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur > HIGH_MAX)
        limit.rlim_cur = HIGH_MAX;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, (int)(limit.rlim_cur / 4 * 3));
    if (high < 0)
        die("%s: %s", what, strerror(errno));
    close(fd);
    return high;
}

void fd_inherit(int fd) {
    if (fcntl(fd, F_SETFD, 0) < 0)
        die("descriptor %d: %s", fd, strerror(errno));
}

static void ends_move_high(int ends[2], int result, const char *what) {
    if (result < 0)
        die("cannot make %s: %s", what, strerror(errno));
    for (size_t i = 0; i < 2; i++)
        ends[i] = fd_move_high(ends[i], what);
}

void pipe_make_high(int ends[2]) {
    ends_move_high(ends, pipe2(ends, O_CLOEXEC), "a pipe");
}

void socket_pair_make_high(int ends[2], int type) {
    ends_move_high(ends, socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), "a pair of sockets");
}

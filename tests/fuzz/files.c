/* SPDX-License-Identifier: MIT */
/* What managers pass to the helper: disks, and all that is none. */
#include "world.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

/* Two disks in memory, and a file on disk that has no name any more. */
static int disks[3];

static void make_disks(void) {
    char path[] = "/var/tmp/fdset-fuzz-XXXXXX";

    if (disks[0])
        return;
    disks[0] = memfd_create("one", MFD_CLOEXEC);
    disks[1] = memfd_create("two", MFD_CLOEXEC);
    disks[2] = mkostemp(path, O_CLOEXEC);
    CHECK(disks[0] >= 0 && disks[1] >= 0 && disks[2] >= 0);
    CHECK(unlink(path) == 0);
}

static int reopen(int disk, int flags) {
    char path[40];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", disks[disk]);
    return open(path, flags | O_CLOEXEC);
}

static int open_pipe(int end) {
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    close(ends[!end]);
    return ends[end];
}

int file_open_kind(unsigned kind, int socket) {
    static const struct {
        int disk, flags;
    } of_disks[] = {
        {0, O_RDWR},
        {0, O_RDONLY},
        {0, O_WRONLY},
        {1, O_RDWR},
        {1, O_RDONLY},
        {2, O_RDWR},
        {0, O_RDWR | O_SYNC},
        {0, O_RDWR | O_DSYNC},
        {0, O_RDWR | O_APPEND},
        {2, O_RDWR | O_NOATIME},
        {0, O_RDWR | O_NONBLOCK},
        {2, O_RDWR | O_DIRECT},
    };
    static const char *const paths[] = {"/dev/null", "/dev/zero", "/proc/self/status"};

    make_disks();
    if (kind < 12)
        return reopen(of_disks[kind].disk, of_disks[kind].flags);
    switch (kind) {
    case 12:
        return fcntl(socket, F_DUPFD_CLOEXEC, 0);
    case 13:
    case 14:
        return open_pipe(kind == 13);
    case 15:
        return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    case 16:
        return epoll_create1(EPOLL_CLOEXEC);
    case 17:
        return reopen(0, O_PATH);
    case 18:
    case 19:
        return open(paths[kind - 18], O_RDWR | O_CLOEXEC);
    }
    return -1;
}

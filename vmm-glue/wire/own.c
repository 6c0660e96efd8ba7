/* SPDX-License-Identifier: MIT */
/* Descriptors that a preloaded library keeps for itself. */
#include "wire/own.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
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

char *own_home_make(void) {
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    char *home = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (home == MAP_FAILED)
        return NULL;
    if (madvise(home, size, MADV_WIPEONFORK) < 0) {
        munmap(home, size);
        return NULL;
    }
    *home = 1;
    return home;
}

void own_home_free(char *home) {
    if (home)
        munmap(home, (size_t)sysconf(_SC_PAGESIZE));
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

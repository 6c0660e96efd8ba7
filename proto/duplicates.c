/* SPDX-License-Identifier: MIT */
/* Which descriptors are one open file: sorted with kcmp(2), which has an order. */
#include "duplicates.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/kcmp.h>

#include "fdset/limits.h"

/* 0: they are one; 1, 2: the first, or the second, comes before in an order that the kernel
 * has of descriptions; -1: it does not tell. */
static long compare(int fd, int other) {
    if (fd == other)
        return 0;
    return syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, (long)fd, (long)other);
}

static int by_description(const void *one, const void *other) {
    int fd = *(const int *)one, second = *(const int *)other;
    long order = compare(fd, second);

    if (order == 0)
        return 0;
    if (order == 1 || order == 2)
        return order == 1 ? -1 : 1;
    return fd < second ? -1 : 1;
}

/* In their order duplicates stand side by side: a hundred need not be compared with each
 * other, which would be thousands of system calls. */
static bool has_any(const int *fds, size_t count) {
    int sorted[FDSET_MAX_DESCRIPTORS];

    assert(count <= FDSET_MAX_DESCRIPTORS);
    memcpy(sorted, fds, count * sizeof(*fds));
    qsort(sorted, count, sizeof(*sorted), by_description);
    for (size_t i = 1; i < count; i++)
        if (compare(sorted[i - 1], sorted[i]) == 0)
            return true;
    return false;
}

bool duplicates_find(const int *fds, size_t count, size_t *first, size_t *second) {
    if (!has_any(fds, count))
        return false;
    for (*second = 1; *second < count; ++*second)
        for (*first = 0; *first < *second; ++*first)
            if (compare(fds[*first], fds[*second]) == 0)
                return true;
    return false;
}

/* SPDX-License-Identifier: MIT */
/* libfdset-preload.so, which must be preloaded into this very program: whether the locks that
 * a program has taken are gone when it has closed the file. */
#include "shim-scene.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static int close_by_dup2(int fd) {
    int null = open("/dev/null", O_RDONLY);
    int result = dup2(null, fd);

    close(null);
    syscall(SYS_close, fd);
    return result < 0 ? -1 : 0;
}
static int close_by_range(int fd) {
    return close_range((unsigned)fd, (unsigned)fd, 0);
}
static int close_by_fclose(int fd) {
    return fclose(fdopen(fd, "r+"));
}
static int close_with_a_copy(int fd) {
    int copy = dup(fd);

    return close(fd) || close(copy);
}

/* As soon as the last descriptor is closed, in every way, and not some time later:
 * QEMU looks at once. */
static void test_locks_are_gone_after_the_close(void **state) {
    int (*const closes[])(int) = {close, close_by_dup2, close_by_range, close_by_fclose,
                                  close_with_a_copy};
    int outside = file_open("disk", O_RDWR);

    for (int i = 0; i < 500; i++) {
        struct flock lock = {.l_type = F_WRLCK, .l_start = 100, .l_len = 1};
        int fd = open(DISK, O_RDWR);
        assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
        assert_int_equal(fcntl(outside, F_OFD_GETLK, &lock), 0);
        assert_int_equal(lock.l_type, F_WRLCK);
        lock = (struct flock){.l_type = F_WRLCK, .l_start = 100, .l_len = 1};
        assert_int_equal(closes[i % 5](fd), 0);
        assert_int_equal(fcntl(outside, F_OFD_GETLK, &lock), 0);
        assert_int_equal(lock.l_type, F_UNLCK);
    }
    close(outside);
}

/* Some file systems let go of locks on a thread of the helper's, and so does what is closed
 * with its set. That is waited for as well, and no open is made for it. */
static void test_locks_are_gone_though_it_takes_time(void **state) {
    char path[64];
    int made = memfd_create("disk", MFD_CLOEXEC);

    snprintf(path, sizeof path, "/proc/self/fd/%d", made);
    for (int i = 0; i < 200; i++) {
        struct fdset_member member = {.fd = i % 2 ? file_open("disk", O_RDWR) : open(path, O_RDWR)};
        struct fdset_add add = {.set = 90,
                                .lifetime = i % 4 < 2 ? FDSET_ONCE : FDSET_KEEP,
                                .members = &member,
                                .member_count = 1};
        struct flock lock = {.l_type = F_WRLCK, .l_start = 100, .l_len = 1};
        int outside = i % 2 ? file_open("disk", O_RDWR) : open(path, O_RDWR);
        assert_int_equal(fdset_add_fds(manager, &add, 1), 0);
        struct fdset_totals before = totals();
        int fd = open("//dev/fdset/90", O_RDWR);
        assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
        assert_int_equal(close(fd), 0);
        assert_int_equal(fcntl(outside, F_OFD_GETLK, &lock), 0);
        assert_int_equal(lock.l_type, F_UNLCK);
        struct fdset_totals after = totals();
        assert_int_equal(after.opens, before.opens + 1);
        assert_int_equal(after.denied, before.denied + 1); /* by totals() itself */
        if (add.lifetime == FDSET_KEEP)
            assert_int_equal(fdset_remove(manager, 90, 0), 1);
        close(outside);
        close(member.fd);
    }
    close(made);
}

#define shim_test(function) cmocka_unit_test_teardown(function, no_leases)

int main(void) {
    const struct CMUnitTest tests[] = {
        shim_test(test_locks_are_gone_after_the_close),
        shim_test(test_locks_are_gone_though_it_takes_time),
    };
    return cmocka_run_group_tests(tests, group_begin, group_end);
}

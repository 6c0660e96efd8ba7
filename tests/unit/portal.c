/* SPDX-License-Identifier: MIT */
/* What a portal says, and to whom. */
#include "oracle.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "joint/portal.h"

/* No test gets here. */
#define NEVER_MS 60000

static void test_portal_says_what_it_was_made_with(void **state) {
    int fd = portal_make(O_RDWR | O_APPEND, true);
    struct portal portal;

    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_true(portal_read(fd, &portal));
    assert_int_equal(portal.flags, O_RDWR | O_APPEND);
    assert_true(portal.hidden);
    assert_false(portal.bound);
    close(fd);
}

static void test_copies_of_a_portal_are_bound_with_it(void **state) {
    int fd = portal_make(O_RDONLY, false), copy = dup(fd);
    struct portal portal;

    assert_int_equal(portal_bind(fd, 7, 42), 0);
    close(fd);
    assert_true(portal_read(copy, &portal));
    assert_true(portal.bound);
    assert_int_equal(portal.set, 7);
    assert_int_equal(portal.member, 42);
    assert_int_equal(portal_wait(copy, NEVER_MS, &portal), 0);
    close(copy);
}

static void test_nothing_else_is_a_portal(void **state) {
    struct portal portal;
    int ends[2], real = portal_make(O_RDONLY, false), file = memfd_create("file", MFD_CLOEXEC);
    char content[256];

    assert_int_equal(pipe(ends), 0);
    assert_false(portal_read(-1, &portal));
    assert_false(portal_read(ends[0], &portal));
    assert_false(portal_read(file, &portal));
    ssize_t size = pread(real, content, sizeof(content), 0);
    assert_true(size > 0 && (size_t)size < sizeof(content));
    assert_int_equal(write(file, content, (size_t)size), size);
    assert_true(portal_read(file, &portal)); /* it is the content that counts */
    assert_int_equal(pwrite(file, "F", 1, 0), 1);
    assert_false(portal_read(file, &portal));
    assert_int_equal(portal_wait(file, 1, &portal), -EINVAL);
    assert_int_equal(pwrite(file, content, (size_t)size, 0), size);
    assert_int_equal(ftruncate(file, size + 1), 0);
    assert_false(portal_read(file, &portal));
    close(real);
    close(file);
    close(ends[0]);
    close(ends[1]);
}

/* The emulator has it, and whoever binds it must not be sent SIGBUS. */
static void test_nobody_cuts_a_portal_short(void **state) {
    int fd = portal_make(O_RDWR, false);
    struct portal portal;

    for (off_t size = 0; size < 8192; size += 4096) {
        errno = 0;
        assert_int_equal(ftruncate(fd, size), -1);
        assert_int_equal(errno, EPERM);
    }
    assert_int_equal(fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, 4096), 0);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    assert_int_equal(portal_bind(fd, 7, 42), 0);
    assert_false(portal_read(fd, &portal)); /* it is empty by its own doing */
    close(fd);
}

static void *binder(void *fd) {
    portal_bind(*(int *)fd, 3, 1);
    return NULL;
}

static void test_who_waits_is_woken_when_it_is_bound(void **state) {
    int fd = portal_make(O_RDONLY, false);
    struct portal portal;
    pthread_t thread;

    assert_int_equal(portal_wait(fd, 1, &portal), -ETIMEDOUT);
    assert_int_equal(pthread_create(&thread, NULL, binder, &fd), 0);
    assert_int_equal(portal_wait(fd, NEVER_MS, &portal), 0);
    assert_int_equal(portal.set, 3);
    pthread_join(thread, NULL);
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        oracle_test(test_portal_says_what_it_was_made_with),
        oracle_test(test_copies_of_a_portal_are_bound_with_it),
        oracle_test(test_nothing_else_is_a_portal),
        oracle_test(test_nobody_cuts_a_portal_short),
        oracle_test(test_who_waits_is_woken_when_it_is_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

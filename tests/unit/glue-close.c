/* SPDX-License-Identifier: MIT */
/* libfdset's closes: the helper is told of each lease once, after the last copy
 * of its descriptor is closed, by the process that has it, and of nothing else. */
#include "fake-helper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "feature.h"

static void test_close_tells_the_helper(void **state) {
    fake_begin_vmm();
    int fd = open_lease(7);
    assert_int_equal(fdset_close(fake.vmm, fd), 0);
    assert_false(is_open(fd));
    assert_int_equal(fdset_lease(fake.vmm, fd), 0);
    expect_close(7);
    fake_end();
}

static void test_close_waits_for_the_answer(void **state) {
    struct call call;
    fake_features = FEATURE_BIT(CLOSE_ANSWER);
    fake_begin_vmm();
    fake_features = 0;
    int fd = open_lease(7), copy = dup(fd);
    assert_int_equal(fdset_duplicated(fake.vmm, fd, copy), 0);
    assert_int_equal(fdset_close_wait(fake.vmm, copy), 0); /* which ends no lease */

    call_close_wait(&call, fd);
    Request *request = fake_receive(REQUEST_IS(CLOSE));
    assert_int_equal(request->close->n_leases, 1);
    assert_int_equal(request->close->leases[0], 7);
    assert_int_not_equal(request->serial, 0);
    assert_false(is_open(fd));
    assert_int_equal(pthread_tryjoin_np(call.thread, NULL), EBUSY);
    fake_done(request->serial);
    assert_int_equal(call_end(&call), 0);

    int null = null_open(O_RDWR);
    assert_int_equal(fdset_close_wait(fake.vmm, null), 0);
    assert_int_equal(fdset_close_wait(fake.vmm, null), -EBADF);
    fake_end();
}

static void test_close_waits_for_none_that_does_not_answer(void **state) {
    fake_begin_vmm();
    assert_int_equal(fdset_close_wait(fake.vmm, open_lease(7)), 0);
    expect_close(7);
    fake_end();
}

static void test_close_waits_for_none_that_has_gone(void **state) {
    struct call call;
    fake_features = FEATURE_BIT(CLOSE_ANSWER);
    fake_begin_vmm();
    fake_features = 0;
    int first = open_lease(7), second = open_lease(8);
    call_close_wait(&call, first);
    fake_receive(REQUEST_IS(CLOSE));
    fake_die();
    assert_int_equal(call_end(&call), 0);
    assert_int_equal(fdset_close_wait(fake.vmm, second), 0);
    assert_false(is_open(second));
    fake_end();
}

/* fake_end() sees that nothing was sent. */
static void test_close_of_no_lease(void **state) {
    fake_begin_vmm();
    int null = null_open(O_RDWR);
    assert_int_equal(fdset_lease(fake.vmm, null), 0);
    assert_int_equal(fdset_close(fake.vmm, null), 0);
    assert_false(is_open(null));
    assert_int_equal(fdset_close(fake.vmm, null), -EBADF);
    assert_int_equal(fdset_close(fake.vmm, -1), -EBADF);
    assert_int_equal(fdset_close(fake.vmm, 1000000), -EBADF);
    assert_int_equal(fdset_lease(fake.vmm, -1), 0);
    fake_end();
}

static void test_closed_twice_is_told_once(void **state) {
    fake_begin_vmm();
    int fd = open_lease(7);
    assert_int_equal(fdset_close(fake.vmm, fd), 0);
    assert_int_equal(fdset_close(fake.vmm, fd), -EBADF);
    expect_close(7);
    fake_end();
}

/* The number was closed without us and comes again: the old lease is over. */
static void test_closed_behind_our_back(void **state) {
    fake_begin_vmm();
    int fd = open_lease(7);
    close(fd);
    assert_int_equal(open_lease(8), fd);
    expect_close(7);
    assert_int_equal(fdset_close(fake.vmm, fd), 0);
    expect_close(8);
    fake_end();
}

/* ----------------------------------------------------------------- duplicates */

static void test_last_copy_tells_the_helper(void **state) {
    fake_begin_vmm();
    int fd = open_lease(7), one = dup(fd), two = dup(one);
    assert_int_equal(fdset_duplicated(fake.vmm, fd, one), 0);
    assert_int_equal(fdset_duplicated(fake.vmm, one, two), 0);
    assert_int_equal(fdset_lease(fake.vmm, two), 7);
    assert_int_equal(fdset_close(fake.vmm, fd), 0);
    assert_int_equal(fdset_close(fake.vmm, two), 0);
    int other = open_lease(8); /* nothing was sent before this */
    assert_int_equal(fdset_close(fake.vmm, one), 0);
    expect_close(7);
    assert_int_equal(fdset_close(fake.vmm, other), 0);
    expect_close(8);
    fake_end();
}

/* dup2(2) closes what stands at its target. */
static void test_duplicate_over_another_lease(void **state) {
    fake_begin_vmm();
    int fd = open_lease(7), target = open_lease(8);
    assert_int_equal(dup2(fd, target), target);
    assert_int_equal(fdset_duplicated(fake.vmm, fd, target), 0);
    expect_close(8);
    assert_int_equal(fdset_lease(fake.vmm, target), 7);

    /* Over itself, and over a copy of itself: nothing changes. */
    assert_int_equal(fdset_duplicated(fake.vmm, fd, fd), 0);
    assert_int_equal(dup2(fd, target), target);
    assert_int_equal(fdset_duplicated(fake.vmm, fd, target), 0);

    /* What is no lease, over a lease. */
    int null = null_open(O_RDWR);
    assert_int_equal(dup2(null, target), target);
    assert_int_equal(fdset_duplicated(fake.vmm, null, target), 0);
    assert_int_equal(fdset_lease(fake.vmm, target), 0);
    assert_int_equal(fdset_close(fake.vmm, target), 0);
    assert_int_equal(fdset_close(fake.vmm, fd), 0);
    expect_close(7);
    close(null);
    fake_end();
}

static void test_duplicate_with_a_high_number(void **state) {
    fake_begin_vmm();
    int fd = open_lease(7), copy = fcntl(fd, F_DUPFD_CLOEXEC, 700);
    assert_true(copy >= 700);
    assert_int_equal(fdset_duplicated(fake.vmm, fd, copy), 0);
    assert_int_equal(fdset_close(fake.vmm, fd), 0);
    assert_int_equal(fdset_close(fake.vmm, copy), 0);
    expect_close(7);
    fake_end();
}

static void test_forget(void **state) {
    fake_begin_vmm();
    int fd = open_lease(7), null = null_open(O_RDWR);
    fdset_forget(fake.vmm, null);
    fdset_forget(fake.vmm, fd);
    expect_close(7);
    assert_true(is_open(fd));
    assert_int_equal(fdset_close(fake.vmm, fd), 0);
    close(null);
    fake_end();
}

static void test_free_leaves_descriptors_open(void **state) {
    fake_begin_vmm();
    int fd = open_lease(7), copy = dup(fd);
    assert_int_equal(fdset_duplicated(fake.vmm, fd, copy), 0);
    fake_end();
    assert_true(is_open(fd));
    close(fd);
    close(copy);
}

/* ---------------------------------------------------------------------- fork */

static int child_status(pid_t child) {
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* What a child may do, all without the helper's hearing of it. Returns the
 * number of the first that went wrong. */
static int act_as_child(int fd, int copy) {
    struct fdset_open_request request = {.path = "/dev/fdset/1", .flags = O_RDWR};
    if (fdset_close(fake.vmm, fd) != 0 || is_open(fd))
        return 1;
    if (fdset_open(fake.vmm, "/dev/fdset/1", O_RDWR) != -ESTALE)
        return 2;
    if (fdset_open_many(fake.vmm, &request, 1) != -ESTALE || request.fd != -ESTALE)
        return 3;
    if (fdset_lease(fake.vmm, copy) != 0 || fdset_duplicated(fake.vmm, copy, 5) != 0)
        return 4;
    fdset_forget(fake.vmm, copy);
    fdset_vmm_free(fake.vmm);
    return 0;
}

static void test_child_does_not_speak_for_its_parent(void **state) {
    fake_begin_vmm();
    int fd = open_lease(7), copy = dup(fd);
    assert_int_equal(fdset_duplicated(fake.vmm, fd, copy), 0);
    pid_t child = fork();
    if (child == 0) {
        int result = act_as_child(fd, copy);
        closefrom(3);
        _exit(result);
    }
    assert_int_equal(child_status(child), 0);

    /* The parent's leases and connection are as they were. */
    int other = open_lease(8);
    assert_int_equal(fdset_lease(fake.vmm, fd), 7);
    assert_int_equal(fdset_close(fake.vmm, fd), 0);
    assert_int_equal(fdset_close(fake.vmm, copy), 0);
    expect_close(7);
    assert_int_equal(fdset_close(fake.vmm, other), 0);
    expect_close(8);
    fake_end();
}

static atomic_bool is_enough;

static void *run_look_at_lease(void *data) {
    while (!is_enough)
        fdset_lease(fake.vmm, *(int *)data);
    return NULL;
}

/* Another thread may have had the connection's lock when the process forked: in the child
 * nobody gives it back. */
static void test_child_closes_while_the_parent_is_busy(void **state) {
    pthread_t thread;
    fake_begin_vmm();
    int fd = open_lease(7);
    is_enough = false;
    assert_int_equal(pthread_create(&thread, NULL, run_look_at_lease, &fd), 0);
    for (int i = 0; i < 200; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(20);
            _exit(fdset_close_wait(fake.vmm, fd) != 0);
        }
        assert_int_equal(child_status(child), 0);
    }
    is_enough = true;
    pthread_join(thread, NULL);
    assert_int_equal(fdset_close(fake.vmm, fd), 0);
    expect_close(7);
    fake_end();
}

/* It has the parent's memory: what it did to the books would stay done. */
static void test_child_of_vfork_does_not_either(void **state) {
    fake_begin_vmm();
    int fd = open_lease(7);
    pid_t child = vfork();
    if (child == 0)
        _exit(fdset_close(fake.vmm, fd) != 0 || fdset_lease(fake.vmm, fd) != 0);
    assert_int_equal(child_status(child), 0);
    assert_int_equal(fdset_lease(fake.vmm, fd), 7);
    assert_int_equal(fdset_close(fake.vmm, fd), 0);
    expect_close(7);
    fake_end();
}

/* A child with a copy of the socket must not keep the leases alive. */
static void test_free_hangs_up_for_a_child_too(void **state) {
    int hold[2];
    char byte;
    fake_begin_vmm();
    assert_int_equal(pipe(hold), 0);
    pid_t child = fork();
    if (child == 0) {
        close(hold[1]);
        ssize_t got = read(hold[0], &byte, 1);
        closefrom(3);
        _exit((int)got);
    }
    close(hold[0]);
    fake_end(); /* reads the end of file while the child has the socket */
    close(hold[1]);
    assert_int_equal(child_status(child), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        oracle_test(test_close_tells_the_helper),
        oracle_test(test_close_waits_for_the_answer),
        oracle_test(test_close_waits_for_none_that_does_not_answer),
        oracle_test(test_close_waits_for_none_that_has_gone),
        oracle_test(test_close_of_no_lease),
        oracle_test(test_closed_twice_is_told_once),
        oracle_test(test_closed_behind_our_back),
        oracle_test(test_last_copy_tells_the_helper),
        oracle_test(test_duplicate_over_another_lease),
        oracle_test(test_duplicate_with_a_high_number),
        oracle_test(test_forget),
        oracle_test(test_free_leaves_descriptors_open),
        oracle_test(test_child_does_not_speak_for_its_parent),
        oracle_test(test_child_closes_while_the_parent_is_busy),
        oracle_test(test_child_of_vfork_does_not_either),
        oracle_test(test_free_hangs_up_for_a_child_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

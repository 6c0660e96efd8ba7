/* SPDX-License-Identifier: MIT */
/* A thread that is cancelled inside libfdset is so afterwards: it takes nothing with it
 * that others need, and what it was at is done to the end. */
#include "fake-helper.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

/* What the thread does, and whether it came to the end of it. */
struct doomed {
    pthread_t thread;
    int (*function)(struct doomed *doomed);
    int fd;
    bool ended;
    int result;
};

static void *run(void *data) {
    struct doomed *doomed = data;
    doomed->result = doomed->function(doomed);
    doomed->ended = true;
    pthread_testcancel();
    return NULL;
}

static void begin(struct doomed *doomed) {
    assert_int_equal(pthread_create(&doomed->thread, NULL, run, doomed), 0);
}

static void end(struct doomed *doomed) {
    void *result;
    assert_int_equal(pthread_join(doomed->thread, &result), 0);
    assert_ptr_equal(result, PTHREAD_CANCELED);
    assert_true(doomed->ended);
}

/* Is cancelled before it begins, so at the first point where that is possible. */
static void do_while_cancelled(struct doomed *doomed, int (*function)(struct doomed *)) {
    doomed->function = function;
    begin(doomed);
    end(doomed);
}

static int open_one(struct doomed *doomed) {
    pthread_cancel(pthread_self());
    return fdset_open(fake.vmm, "/dev/fdset/1", O_RDWR | O_CLOEXEC);
}

static void test_waiting_for_a_reply(void **state) {
    struct doomed reads = {.function = open_one}, sleeps = {.function = open_one};
    fake_begin_vmm();
    begin(&reads);
    uint32_t first = fake_receive(REQUEST_IS(OPEN))->serial;
    begin(&sleeps);
    uint32_t second = fake_receive(REQUEST_IS(OPEN))->serial;
    fake_error(second, EBUSY, "busy");
    end(&sleeps);
    fake_error(first, ENOENT, "no set");
    end(&reads);
    assert_int_equal(reads.result, -ENOENT);
    assert_int_equal(sleeps.result, -EBUSY);
    assert_int_equal(fdset_close(fake.vmm, open_lease(7)), 0);
    expect_close(7);
    fake_end();
}

static int close_one(struct doomed *doomed) {
    pthread_cancel(pthread_self());
    return fdset_close(fake.vmm, doomed->fd);
}

static void test_close(void **state) {
    fake_begin_vmm();
    struct doomed doomed = {.fd = open_lease(7)};
    do_while_cancelled(&doomed, close_one);
    assert_int_equal(doomed.result, 0);
    assert_false(is_open(doomed.fd));
    expect_close(7);
    fake_end();
}

/* The file cannot be truncated, so that the lease is given back. */
static int truncate_one(struct doomed *doomed) {
    pthread_cancel(pthread_self());
    return fdset_open(fake.vmm, "/dev/fdset/1", O_RDONLY | O_TRUNC);
}

static void test_lease_that_is_given_back(void **state) {
    struct doomed doomed = {.function = truncate_one};
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    fake_begin_vmm();
    begin(&doomed);
    uint32_t serial = fake_receive(REQUEST_IS(OPEN))->serial;
    fake_opened(serial, 7, true, file);
    close(file);
    end(&doomed);
    assert_true(doomed.result < 0);
    expect_close(7);
    fake_end();
}

static void ignore(struct fdset_vmm *vmm, int fd, void *context) {
    *(int *)context = fd;
}

static int dispatch(struct doomed *doomed) {
    pthread_cancel(pthread_self());
    return fdset_vmm_dispatch(fake.vmm, -1);
}

static void test_dispatch(void **state) {
    struct doomed doomed = {.function = dispatch};
    int outcome = 0;
    fake_begin_vmm();
    assert_int_equal(fdset_open_submit(fake.vmm, "/dev/fdset/1", O_RDWR, 0, ignore, &outcome), 0);
    uint32_t serial = fake_receive(REQUEST_IS(OPEN))->serial;
    begin(&doomed);
    fake_error(serial, ENOENT, "no set");
    end(&doomed);
    assert_int_equal(doomed.result, 1);
    assert_int_equal(outcome, -ENOENT);
    fake_end();
}

static int poll_fd(struct doomed *doomed) {
    pthread_cancel(pthread_self());
    return fdset_vmm_poll_fd(fake.vmm);
}

static void test_descriptor_to_poll_that_cannot_be_made(void **state) {
    struct doomed doomed = {0};
    fake_begin_vmm();
    leave_room_for(1); /* it takes two */
    do_while_cancelled(&doomed, poll_fd);
    make_room();
    assert_int_equal(doomed.result, -EMFILE);
    assert_int_equal(fdset_close(fake.vmm, open_lease(7)), 0);
    expect_close(7);
    fake_end();
}

static int hang_up(struct doomed *doomed) {
    pthread_cancel(pthread_self());
    fdset_vmm_free(fake.vmm);
    return 0;
}

static void test_hanging_up(void **state) {
    struct doomed doomed = {0};
    fake_begin_vmm();
    int socket = fdset_vmm_socket(fake.vmm), poll = fdset_vmm_poll_fd(fake.vmm);
    do_while_cancelled(&doomed, hang_up);
    assert_false(is_open(socket));
    assert_false(is_open(poll));
    fake_receive_hangup();
    fake_die();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        oracle_test(test_waiting_for_a_reply),
        oracle_test(test_close),
        oracle_test(test_lease_that_is_given_back),
        oracle_test(test_dispatch),
        oracle_test(test_descriptor_to_poll_that_cannot_be_made),
        oracle_test(test_hanging_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

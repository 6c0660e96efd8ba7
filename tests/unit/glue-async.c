/* SPDX-License-Identifier: MIT */
/* libfdset's opens for event loops: each that was submitted has one outcome,
 * whoever read it and whatever becomes of the helper, and who polls hears of it. */
#include "fake-helper.h"
#include "vmm/vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* What became of an open. */
struct outcome {
    int count, fd;
    char text[256];
};

static void note(struct fdset_vmm *vmm, int fd, void *context) {
    struct outcome *outcome = context;
    outcome->count++;
    outcome->fd = fd;
    snprintf(outcome->text, sizeof(outcome->text), "%s", fdset_error_text());
}

static void submit(struct outcome *outcome) {
    *outcome = (struct outcome){0};
    assert_int_equal(
        fdset_open_submit(fake.vmm, "/dev/fdset/1", O_RDWR | O_CLOEXEC, 0, note, outcome), 0);
}

static void answer(uint32_t serial, uint64_t lease) {
    int null = null_open(O_RDWR);
    fake_opened(serial, lease, false, null);
    close(null);
}

static uint32_t receive_open(void) {
    return fake_receive(REQUEST_IS(OPEN))->serial;
}

/* Serials have 32 bits, and one open may wait while all are used up. */
static uint32_t submit_patiently(struct outcome *outcome) {
    *outcome = (struct outcome){0};
    assert_int_equal(fdset_open_submit(fake.vmm, "/dev/fdset/1", O_RDWR, 1000, note, outcome), 0);
    return receive_open();
}

static void test_no_serial_is_used_that_is_waited_for(void **state) {
    struct outcome patient, others[3];
    uint32_t serials[3], first;
    fake_begin_vmm();
    struct connection *connection = &fake.vmm->connection;
    connection->last_serial = UINT32_MAX - 1;
    assert_int_equal(first = submit_patiently(&patient), UINT32_MAX);
    assert_int_equal(serials[0] = submit_patiently(&others[0]), 1);
    connection->last_serial = UINT32_MAX - 2;
    assert_int_equal(serials[1] = submit_patiently(&others[1]), UINT32_MAX - 1);
    assert_int_equal(serials[2] = submit_patiently(&others[2]), 2);
    for (int i = 0; i < 3; i++)
        answer(serials[i], 20 + (uint64_t)i);
    answer(first, 30);
    for (int count = 0; count < 4;)
        count += fdset_vmm_dispatch(fake.vmm, -1);
    assert_int_equal(fdset_lease(fake.vmm, patient.fd), 30);
    close(patient.fd);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fdset_lease(fake.vmm, others[i].fd), 20 + i);
        close(others[i].fd);
    }
    fake_end();
}

/* ------------------------------------------------------------------ a loop */

static void test_poll_and_dispatch(void **state) {
    struct outcome outcome;
    fake_begin_vmm();
    int poll_fd = fdset_vmm_poll_fd(fake.vmm);
    assert_true(poll_fd >= 0);
    assert_int_equal(fdset_vmm_poll_fd(fake.vmm), poll_fd);
    assert_int_equal(fcntl(poll_fd, F_GETFD), FD_CLOEXEC);
    submit(&outcome);
    uint32_t serial = receive_open();
    assert_false(poll_says(poll_fd));
    assert_int_equal(fdset_vmm_dispatch(fake.vmm, 0), 0);
    answer(serial, 7);
    poll_for_ever(poll_fd);
    assert_int_equal(outcome.count, 0); /* nothing is called but by dispatching */
    assert_int_equal(fdset_vmm_dispatch(fake.vmm, 0), 1);
    assert_int_equal(outcome.count, 1);
    assert_int_equal(fdset_lease(fake.vmm, outcome.fd), 7);
    assert_false(poll_says(poll_fd));
    assert_int_equal(fdset_close(fake.vmm, outcome.fd), 0);
    expect_close(7);
    fake_end();
}

static void test_outcomes_in_another_order_and_refused(void **state) {
    struct outcome slow, fast;
    fake_begin_vmm();
    submit(&slow);
    uint32_t slow_serial = receive_open();
    submit(&fast);
    assert_int_equal(fdset_vmm_dispatch(fake.vmm, 0), 0);
    fake_error(receive_open(), EACCES, "not this mode");
    assert_int_equal(fdset_vmm_dispatch(fake.vmm, -1), 1);
    assert_int_equal(fast.fd, -EACCES);
    assert_string_equal(fast.text, "not this mode");
    assert_int_equal(slow.count, 0);
    fake_hello(slow_serial, 1, ROLE(VMM)); /* a faulty one */
    assert_int_equal(fdset_vmm_dispatch(fake.vmm, -1), 1);
    assert_int_equal(slow.fd, -EPROTO);
    fake_end();
}

static void test_wait_is_sent(void **state) {
    struct outcome outcome = {0};
    fake_begin_vmm();
    assert_int_equal(fdset_open_submit(fake.vmm, "/dev/fdset/x", O_RDONLY, 9000, note, &outcome),
                     0);
    Request *request = fake_receive(REQUEST_IS(OPEN));
    assert_string_equal(request->open->path, "/dev/fdset/x");
    assert_int_equal(request->open->wait_ms, 9000);
    fake_error(request->serial, ENOENT, "no set");
    assert_int_equal(fdset_vmm_dispatch(fake.vmm, -1), 1);
    assert_int_equal(fdset_open_submit(fake.vmm, NULL, O_RDONLY, 0, note, &outcome), -EFAULT);
    fake_end();
}

static void submit_again(struct fdset_vmm *vmm, int fd, void *context) {
    assert_int_equal(fd, -ENOENT);
    submit(context);
}

static void test_callback_submits(void **state) {
    struct outcome outcome = {0};
    fake_begin_vmm();
    assert_int_equal(fdset_open_submit(fake.vmm, "/dev/fdset/1", O_RDWR, 0, submit_again, &outcome),
                     0);
    fake_error(receive_open(), ENOENT, "no set");
    assert_int_equal(fdset_vmm_dispatch(fake.vmm, -1), 1);
    assert_int_equal(outcome.count, 0);
    fake_error(receive_open(), EBUSY, "busy");
    assert_int_equal(fdset_vmm_dispatch(fake.vmm, -1), 1);
    assert_int_equal(outcome.fd, -EBUSY);
    fake_end();
}

/* ------------------------------------------------------------------ threads */

/* By the time the other thread has its own answer, it has read ours too, and the
 * socket is empty: still who polls must hear of it. */
static void test_read_by_another_thread(void **state) {
    struct outcome outcome;
    struct call call;
    fake_begin_vmm();
    int poll_fd = fdset_vmm_poll_fd(fake.vmm);
    submit(&outcome);
    uint32_t serial = receive_open();
    call_open(&call, "/dev/fdset/2", O_RDWR);
    uint32_t other = receive_open();
    answer(serial, 7);
    fake_error(other, ENOENT, "no set");
    assert_int_equal(call_end(&call), -ENOENT);
    assert_false(poll_says(fdset_vmm_socket(fake.vmm)));
    assert_true(poll_says(poll_fd));
    assert_int_equal(fdset_vmm_dispatch(fake.vmm, 0), 1);
    assert_false(poll_says(poll_fd));
    fdset_close(fake.vmm, outcome.fd);
    expect_close(7);
    fake_end();
}

/* The one that dispatches reads for both, and has what it wanted first: the other
 * must not be left waiting for somebody to read. */
static void test_dispatcher_leaves_a_thread_that_waits(void **state) {
    fake_begin_vmm();
    for (int round = 0; round < 100; round++) {
        struct outcome outcome;
        struct call loop, call;
        submit(&outcome);
        uint32_t serial = receive_open();
        call_dispatch(&loop);
        call_open(&call, "/dev/fdset/2", O_RDWR);
        uint32_t other = receive_open();
        fake_error(serial, ENOENT, "no set");
        assert_int_equal(call_end(&loop), 1);
        fake_error(other, EBUSY, "busy");
        assert_int_equal(call_end(&call), -EBUSY);
    }
    fake_end();
}

/* -------------------------------------------------------------------- ends */

static void test_helper_dies(void **state) {
    struct outcome outcomes[5];
    fake_begin_vmm();
    int poll_fd = fdset_vmm_poll_fd(fake.vmm);
    for (int i = 0; i < 5; i++)
        submit(&outcomes[i]);
    answer(receive_open(), 7);
    fake_die();
    poll_for_ever(poll_fd);
    int result, count = 0;
    while ((result = fdset_vmm_dispatch(fake.vmm, -1)) > 0)
        count += result;
    assert_int_equal(count, 5);
    assert_int_equal(result, -ECONNRESET);
    assert_true(outcomes[0].fd >= 0);
    for (int i = 1; i < 5; i++) {
        assert_int_equal(outcomes[i].count, 1);
        assert_int_equal(outcomes[i].fd, -ECONNRESET);
        assert_string_equal(outcomes[i].text, "fdset-helper has hung up or died");
    }
    assert_true(poll_says(poll_fd));
    assert_int_equal(fdset_open_submit(fake.vmm, "/dev/fdset/1", O_RDWR, 0, note, outcomes),
                     -ECONNRESET);
    fdset_close(fake.vmm, outcomes[0].fd);
    fake_end();
}

static void refused_now(struct fdset_vmm *vmm, int fd, void *context) {
    note(vmm, fd, context);
    assert_int_equal(fdset_open_submit(vmm, "/dev/fdset/1", O_RDWR, 0, note, context), -ECANCELED);
    assert_int_equal(fdset_open(vmm, "/dev/fdset/1", O_RDWR), -ECANCELED);
}

static void test_free_gives_the_rest(void **state) {
    struct outcome outcomes[3] = {0};
    fake_begin_vmm();
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            fdset_open_submit(fake.vmm, "/dev/fdset/1", O_RDWR, 0, refused_now, &outcomes[i]), 0);
    receive_open(); /* the others are not sent any more */
    fake_end();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(outcomes[i].count, 1);
        assert_int_equal(outcomes[i].fd, -ECANCELED);
    }
}

static void test_child_has_no_part_in_it(void **state) {
    struct outcome outcome;
    int status;
    fake_begin_vmm();
    submit(&outcome);
    uint32_t serial = receive_open();
    pid_t child = fork();
    if (child == 0) {
        bool right =
            fdset_open_submit(fake.vmm, "/dev/fdset/1", O_RDWR, 0, note, &outcome) == -ESTALE &&
            fdset_vmm_dispatch(fake.vmm, 0) == -ESTALE && fdset_vmm_poll_fd(fake.vmm) == -ESTALE;
        closefrom(3);
        _exit(!right || outcome.count > 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    fake_error(serial, ENOENT, "no set");
    assert_int_equal(fdset_vmm_dispatch(fake.vmm, -1), 1);
    assert_int_equal(outcome.count, 1);
    fake_end();
}

/* ----------------------------------------------------- several that dispatch */

static atomic_int given;

static void count_one(struct fdset_vmm *vmm, int fd, void *context) {
    given++;
}

static void *dispatch_to_the_end(void *data) {
    struct call *call = data;
    int count;
    while ((count = fdset_vmm_dispatch(fake.vmm, -1)) > 0)
        call->result += count;
    return NULL;
}

/* Each returns what it has given out itself, and not before it has given something. */
static void test_two_dispatch(void **state) {
    struct call loops[2] = {{0}};
    fake_begin_vmm();
    given = 0;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&loops[i].thread, NULL, dispatch_to_the_end, &loops[i]), 0);
    for (int round = 0; round < 500; round++) {
        uint32_t serials[4];
        for (int i = 0; i < 4; i++) {
            assert_int_equal(
                fdset_open_submit(fake.vmm, "/dev/fdset/1", O_RDWR, 1000, count_one, NULL), 0);
            serials[i] = receive_open();
        }
        for (int i = 0; i < 4; i++)
            fake_error(serials[i], ENOENT, "no set");
    }
    fake_die();
    assert_int_equal(call_end(&loops[0]) + call_end(&loops[1]), 2000);
    assert_int_equal(given, 2000);
    fake_end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        oracle_test(test_no_serial_is_used_that_is_waited_for),
        oracle_test(test_poll_and_dispatch),
        oracle_test(test_outcomes_in_another_order_and_refused),
        oracle_test(test_wait_is_sent),
        oracle_test(test_callback_submits),
        oracle_test(test_read_by_another_thread),
        oracle_test(test_dispatcher_leaves_a_thread_that_waits),
        oracle_test(test_helper_dies),
        oracle_test(test_free_gives_the_rest),
        oracle_test(test_child_has_no_part_in_it),
        oracle_test(test_two_dispatch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

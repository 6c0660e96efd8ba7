/* SPDX-License-Identifier: MIT */
/* Opens that are submitted while others have no answer travel together: none waits for
 * a slow one, nothing overtakes them, and nobody has to know. */
#include "together.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* -------------------------------------------------------------- as they go */

static void test_those_after_the_first_go_together(void **state) {
    begin_all();
    submit_from_to(1, 5);
    uint32_t first = receive_open(1);
    nothing_is_sent();
    dispatch(0);
    uint32_t others = receive_many(2, 5);
    nothing_is_sent();
    answer_many(others, (struct answer[]){{12}, {0, EACCES, "not this mode"}, {14}, {15}}, 4, 0);
    dispatch(4);
    for (int i = 2; i <= 5; i++)
        assert_int_equal(outcomes[i].turn, i - 2);
    expect_lease(2, 12);
    expect_failed(3, EACCES, "not this mode");
    expect_lease(4, 14);
    expect_lease(5, 15);
    fake_error(first, ENOENT, "no set");
    dispatch(1);
    expect_failed(1, ENOENT, "no set");

    submit(6); /* alone again, and at once */
    fake_error(receive_open(6), ENOENT, "no set");
    dispatch(1);
    fake_end();
}

static void test_flags_are_each_ones_own(void **state) {
    struct stat status;
    int file = memfd_create("disk", MFD_CLOEXEC);
    assert_int_equal(ftruncate(file, 100), 0);
    assert_true(file >= 0);
    begin_all();
    submit(1);
    assert_int_equal(fdset_open_submit(fake.vmm, "/dev/fdset/2", O_WRONLY, 0, note, &outcomes[2]),
                     0);
    assert_int_equal(
        fdset_open_submit(fake.vmm, "/dev/fdset/3", O_RDWR | O_TRUNC, 0, note, &outcomes[3]), 0);
    dispatch(0);
    receive_open(1);
    Request *request = fake_receive(REQUEST_IS(OPEN_MANY));
    assert_int_equal(request->open_many->opens[0]->flags, O_WRONLY);
    assert_int_equal(request->open_many->opens[1]->flags, O_RDWR | O_TRUNC);
    Reply reply = FDSET__V1__REPLY__INIT;
    Fdset__V1__OpenedMany many = FDSET__V1__OPENED_MANY__INIT;
    Fdset__V1__OpenedMany__Result results[2], *pointers[] = {&results[0], &results[1]};
    Fdset__V1__Opened opened[2];
    for (int i = 0; i < 2; i++) {
        fdset__v1__opened_many__result__init(&results[i]);
        fdset__v1__opened__init(&opened[i]);
        results[i].outcome_case = FDSET__V1__OPENED_MANY__RESULT__OUTCOME_OPENED;
        results[i].opened = &opened[i];
        opened[i].lease = 7 + (uint32_t)i;
        opened[i].truncate = i == 1;
    }
    many.n_results = 2;
    many.results = pointers;
    reply.serial = request->serial;
    reply.body_case = REPLY_IS(OPENED_MANY);
    reply.opened_many = &many;
    int null = null_open(O_WRONLY);
    fake_reply(&reply, (int[]){null, file}, 2);
    dispatch(2);
    assert_int_equal(fcntl(outcomes[2].fd, F_GETFD), 0);
    assert_int_equal(fcntl(outcomes[2].fd, F_GETFL) & O_ACCMODE, O_WRONLY);
    assert_int_equal(fcntl(outcomes[3].fd, F_GETFL) & O_ACCMODE, O_RDWR);
    assert_int_equal(fstat(file, &status), 0);
    assert_int_equal(status.st_size, 0);
    expect_lease(2, 7);
    expect_lease(3, 8);
    close(null);
    close(file);
    fake_end();
}

static void test_full_packets_go_by_themselves(void **state) {
    begin_all();
    submit_from_to(1, 601);
    receive_open(1);
    receive_many(2, 251);
    receive_many(252, 501);
    nothing_is_sent();
    dispatch(0);
    receive_many(502, 601);
    fake_end();
    for (int i = 1; i <= 601; i++)
        expect_failed(i, ECANCELED, "the connection to fdset-helper was given up");
}

/* They are as long as can be: fewer than 250 fit into a packet. */
static void test_long_paths(void **state) {
    static char path[256];
    begin_all();
    submit(1);
    memset(path, 'a', sizeof(path) - 1);
    for (int i = 2; i <= 101; i++)
        assert_int_equal(fdset_open_submit(fake.vmm, path, O_RDWR, 0, note, &outcomes[i]), 0);
    receive_open(1);
    size_t first = fake_receive(REQUEST_IS(OPEN_MANY))->open_many->n_opens;
    assert_in_range(first, 50, 99);
    nothing_is_sent();
    dispatch(0);
    assert_int_equal(fake_receive(REQUEST_IS(OPEN_MANY))->open_many->n_opens, 100 - first);
    fake_end();
}

static void test_those_that_wait_go_alone(void **state) {
    begin_all();
    for (int i = 1; i <= 2; i++)
        assert_int_equal(
            fdset_open_submit(fake.vmm, "/dev/fdset/x", O_RDWR, 9000, note, &outcomes[i]), 0);
    assert_int_equal(fake_receive(REQUEST_IS(OPEN))->open->wait_ms, 9000);
    assert_int_equal(fake_receive(REQUEST_IS(OPEN))->open->wait_ms, 9000);
    submit(3); /* they may take long, so they do not count */
    receive_open(3);
    submit_from_to(4, 5);
    nothing_is_sent();
    assert_int_equal(fdset_open_submit(fake.vmm, "/dev/fdset/x", O_RDWR, 9000, note, &outcomes[6]),
                     0);
    receive_many(4, 5); /* the order stays */
    assert_int_equal(fake_receive(REQUEST_IS(OPEN))->open->wait_ms, 9000);
    fake_end();
}

/* --------------------------------------------------------- order of requests */

static void test_a_call_does_not_overtake(void **state) {
    struct call call;
    begin_all();
    submit_from_to(1, 3);
    call_open(&call, "/dev/fdset/4", O_RDWR | O_CLOEXEC);
    receive_open(1);
    receive_many(2, 3);
    fake_error(receive_open(4), ENOENT, "no set");
    assert_int_equal(call_end(&call), -ENOENT);
    fake_end();
}

static void test_a_close_does_not_overtake(void **state) {
    begin_all();
    int fd = open_lease(7);
    submit_from_to(1, 2);
    assert_int_equal(fdset_close(fake.vmm, fd), 0);
    receive_open(1);
    receive_open(2); /* one by itself is no packet of many */
    expect_close(7);
    fake_end();
}

/* ------------------------------------------------------------------- a loop */

static void test_who_only_polls(void **state) {
    begin_all();
    int poll_fd = fdset_vmm_poll_fd(fake.vmm);
    submit(1);
    assert_false(poll_says(poll_fd));
    submit_from_to(2, 3);
    assert_true(poll_says(poll_fd)); /* there is something to send */
    dispatch(0);
    assert_false(poll_says(poll_fd));
    receive_open(1);
    answer_many(receive_many(2, 3), (struct answer[]){{12}, {13}}, 2, 0);
    poll_for_ever(poll_fd);
    dispatch(2);
    assert_false(poll_says(poll_fd));
    expect_lease(2, 12);
    expect_lease(3, 13);
    fake_end();
}

/* It waits for the first, and will not come back to send what another thread submits. */
static void test_another_thread_waits_already(void **state) {
    struct call loop;
    begin_all();
    submit_from_to(1, 2);
    receive_open(1);
    call_dispatch(&loop);
    receive_open(2);
    submit(3);
    submit(4);
    receive_open(3);
    fake_error(receive_open(4), ENOENT, "no set");
    assert_int_equal(call_end(&loop), 1);
    expect_failed(4, ENOENT, "no set");
    fake_end();
}

static void submit_three(struct fdset_vmm *vmm, int fd, void *context) {
    note(vmm, fd, context);
    submit_from_to(2, 4);
}

/* One goes as the first, the others as the callbacks are through. */
static void test_what_a_callback_submits(void **state) {
    begin_all();
    assert_int_equal(fdset_open_submit(fake.vmm, "/dev/fdset/1", O_RDWR | O_CLOEXEC, 0,
                                       submit_three, &outcomes[1]),
                     0);
    fake_error(receive_open(1), ENOENT, "no set");
    dispatch(1);
    receive_open(2);
    receive_many(3, 4);
    fake_end();
}

/* ------------------------------------------------------------------- the end */

static void test_helper_dies_with_some_unsent(void **state) {
    int count = 0, result;
    begin_all();
    int poll_fd = fdset_vmm_poll_fd(fake.vmm);
    uint32_t serial = send_together(5);
    const struct answer settling = {0, EAGAIN, "is being settled"};
    answer_many(serial, (struct answer[]){settling, {13}, settling, {0, EBUSY, "busy"}}, 4, 0);
    submit_from_to(6, 8);
    fake_die();
    poll_for_ever(poll_fd);
    while ((result = fdset_vmm_dispatch(fake.vmm, -1)) > 0)
        count += result;
    assert_int_equal(result, -ECONNRESET);
    assert_int_equal(count, 7);
    assert_int_equal(outcomes[3].count, 1);
    fdset_close(fake.vmm, outcomes[3].fd);
    expect_failed(5, EBUSY, "busy");
    for (int i = 2; i <= 8; i++)
        if (i != 3 && i != 5)
            expect_failed(i, ECONNRESET, "fdset-helper has hung up or died");
    assert_int_equal(fdset_open_submit(fake.vmm, "/dev/fdset/1", O_RDWR, 0, note, &outcomes[1]),
                     -ECONNRESET);
    fake_end();
}

static void test_freed_with_some_unsent(void **state) {
    begin_all();
    send_together(4);
    submit_from_to(5, 7);
    fake_end(); /* these are not sent any more */
    for (int i = 2; i <= 7; i++)
        expect_failed(i, ECANCELED, "the connection to fdset-helper was given up");
}

static void test_child_sends_nothing(void **state) {
    int status;
    begin_all();
    submit_from_to(1, 3);
    receive_open(1);
    pid_t child = fork();
    if (child == 0) {
        bool right = fdset_vmm_dispatch(fake.vmm, 0) == -ESTALE &&
                     fdset_open(fake.vmm, "/dev/fdset/1", O_RDWR) == -ESTALE;
        closefrom(3);
        _exit(!right || outcomes[1].count + outcomes[2].count + outcomes[3].count > 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    nothing_is_sent();
    dispatch(0);
    receive_many(2, 3);
    fake_end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        oracle_test(test_those_after_the_first_go_together),
        oracle_test(test_flags_are_each_ones_own),
        oracle_test(test_full_packets_go_by_themselves),
        oracle_test(test_long_paths),
        oracle_test(test_those_that_wait_go_alone),
        oracle_test(test_a_call_does_not_overtake),
        oracle_test(test_a_close_does_not_overtake),
        oracle_test(test_who_only_polls),
        oracle_test(test_another_thread_waits_already),
        oracle_test(test_what_a_callback_submits),
        oracle_test(test_helper_dies_with_some_unsent),
        oracle_test(test_freed_with_some_unsent),
        oracle_test(test_child_sends_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

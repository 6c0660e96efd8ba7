/* SPDX-License-Identifier: MIT */
/* What comes of opens that travelled together: each has its own outcome, and an answer
 * that makes no sense harms only those that it is for. */
#include "together.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* -------------------------------------------------- what cannot be had at once */

static void test_what_is_being_settled_is_asked_again_alone(void **state) {
    begin_all();
    uint32_t serial = send_together(4);
    answer_many(serial, (struct answer[]){{12}, {0, EAGAIN, "is being settled"}, {14}}, 3, 0);
    dispatch(2);
    assert_int_equal(outcomes[3].count, 0);
    uint32_t slow = receive_open(3);
    expect_lease(2, 12);
    expect_lease(4, 14);

    submit(5); /* does not wait for it */
    fake_error(receive_open(5), ENOENT, "no set");
    dispatch(1);
    fake_error(slow, EAGAIN, "too much is being settled"); /* not asked for ever */
    dispatch(1);
    expect_failed(3, EAGAIN, "too much is being settled");
    fake_end();
}

/* The thread that has read it does not dispatch: who polls must hear of it. */
static void test_to_be_asked_again_is_news(void **state) {
    struct call call;
    begin_all();
    int poll_fd = fdset_vmm_poll_fd(fake.vmm);
    uint32_t serial = send_together(3);
    assert_false(poll_says(poll_fd));
    call_open(&call, "/dev/fdset/9", O_RDWR | O_CLOEXEC);
    uint32_t other = receive_open(9);
    const struct answer settling = {0, EAGAIN, "is being settled"};
    answer_many(serial, (struct answer[]){settling, settling}, 2, 0);
    fake_error(other, ENOENT, "no set");
    assert_int_equal(call_end(&call), -ENOENT);
    assert_true(poll_says(poll_fd));
    dispatch(0);
    assert_false(poll_says(poll_fd));
    fake_error(receive_open(2), ENOENT, "no set");
    fake_error(receive_open(3), ENOENT, "no set");
    nothing_is_sent();
    for (int count = 0; count < 2;)
        count += fdset_vmm_dispatch(fake.vmm, -1);
    fake_end();
}

/* There is no room for three: that is no reason to have none. Those that have come are
 * kept, as a set may be there for one open only; the others are asked for again. */
static void test_short_of_descriptors(void **state) {
    begin_all();
    uint32_t serial = send_together(6);
    answer_many(serial, (struct answer[]){{12}, {0, EBUSY, "busy"}, {14}, {15}, {16}}, 5, 2);
    dispatch(3);
    expect_failed(3, EBUSY, "busy");
    assert_int_equal(fdset_lease(fake.vmm, outcomes[2].fd), 12);
    assert_int_equal(fdset_lease(fake.vmm, outcomes[4].fd), 14);
    expect_close(15);
    uint32_t fifth = receive_open(5);
    expect_close(16);
    uint32_t sixth = receive_open(6);
    expect_lease(2, 12);
    expect_lease(4, 14);
    int null = null_open(O_RDWR);
    fake_opened(fifth, 25, false, null);
    close(null);
    Reply reply = FDSET__V1__REPLY__INIT;
    Fdset__V1__Opened opened = FDSET__V1__OPENED__INIT;
    reply.serial = sixth;
    reply.body_case = REPLY_IS(OPENED);
    reply.opened = &opened;
    opened.lease = 26;
    fake_send(&reply, 1, NULL, 0);
    for (int count = 0; count < 2;)
        count += fdset_vmm_dispatch(fake.vmm, -1);
    expect_close(26);
    expect_lease(5, 25);
    assert_int_equal(outcomes[6].fd, -EMFILE);
    fake_end();
}

/* As the kernel does it. */
static void test_own_limit_has_room_for_two(void **state) {
    begin_all();
    uint32_t serial = send_together(4);
    answer_many(serial, (struct answer[]){{12}, {13}, {14}}, 3, 0);
    leave_room_for(2);
    int count = fdset_vmm_dispatch(fake.vmm, -1);
    make_room();
    assert_int_equal(count, 2);
    assert_int_equal(fdset_lease(fake.vmm, outcomes[2].fd), 12);
    assert_int_equal(fdset_lease(fake.vmm, outcomes[3].fd), 13);
    expect_close(14);
    fake_error(receive_open(4), ENOENT, "used up");
    dispatch(1);
    expect_lease(2, 12);
    expect_lease(3, 13);
    expect_failed(4, ENOENT, "used up");
    fake_end();
}

/* --------------------------------------------------------- malformed answers */

#define LEFT_OUT "fdset-helper left an open without an answer"

static void test_an_answer_without_content(void **state) {
    begin_all();
    uint32_t serial = send_together(4);
    answer_many(serial, (struct answer[]){{0}, {13}, {0, -5, "no such error"}}, 3, 0);
    dispatch(3);
    expect_failed(2, EPROTO, LEFT_OUT);
    expect_lease(3, 13);
    expect_failed(4, EPROTO, LEFT_OUT);
    fake_end();
}

/* The helper has room for so many sentences in a packet; the others go without. */
static void test_an_error_without_words(void **state) {
    begin_all();
    uint32_t serial = send_together(3);
    answer_many(serial, (struct answer[]){{0, EACCES, "not this mode"}, {0, ENOENT, ""}}, 2, 0);
    dispatch(2);
    expect_failed(2, EACCES, "not this mode");
    expect_failed(3, ENOENT, "No such file or directory");
    fake_end();
}

static void test_another_number_of_answers(void **state) {
    const struct answer answers[] = {{12}, {13}, {14}};
    for (size_t count = 0; count <= 3; count++) {
        if (count == 2)
            continue; /* the right number */
        begin_all();
        answer_many(send_together(3), answers, count, 0);
        dispatch(2);
        for (int i = 2; i <= 3; i++)
            expect_failed(i, EPROTO,
                          "fdset-helper answered another number of opens than was asked");
        fake_end();
    }
}

static void test_more_descriptors_than_leases(void **state) {
    begin_all();
    uint32_t serial = send_together(4);
    answer_many(serial, (struct answer[]){{12}, {0, EBUSY, "busy"}, {14}}, 3, -1);
    dispatch(3);
    expect_failed(2, EPROTO, "fdset-helper sent 3 descriptors where 2 were due");
    expect_failed(3, EBUSY, "busy");
    expect_failed(4, EPROTO, "fdset-helper sent 3 descriptors where 2 were due");
    expect_close(12);
    expect_close(14);
    fake_end();
}

static void test_another_answer(void **state) {
    begin_all();
    fake_hello(send_together(3), 1, ROLE(VMM));
    dispatch(2);
    expect_failed(2, EPROTO, "fdset-helper answered something else than was asked");
    expect_failed(3, EPROTO, "fdset-helper answered something else than was asked");
    submit_from_to(4, 6);
    dispatch(0);
    receive_open(4);
    fake_error(receive_many(5, 6), ENOSPC, "not so many");
    dispatch(2);
    expect_failed(5, ENOSPC, "not so many");
    expect_failed(6, ENOSPC, "not so many");
    fake_end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        oracle_test(test_what_is_being_settled_is_asked_again_alone),
        oracle_test(test_to_be_asked_again_is_news),
        oracle_test(test_short_of_descriptors),
        oracle_test(test_own_limit_has_room_for_two),
        oracle_test(test_an_answer_without_content),
        oracle_test(test_an_error_without_words),
        oracle_test(test_another_number_of_answers),
        oracle_test(test_more_descriptors_than_leases),
        oracle_test(test_another_answer),
    };
    /* Valgrind keeps RLIMIT_NOFILE for itself and never tells the kernel. */
    if (getenv("FDSET_TEST_VALGRIND"))
        cmocka_set_skip_filter("*_own_limit*");
    return cmocka_run_group_tests(tests, NULL, NULL);
}

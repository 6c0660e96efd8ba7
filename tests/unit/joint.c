/* SPDX-License-Identifier: MIT */
/* What the preload library tells the relay. */
#include "oracle.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "joint/joint.h"

static void test_messages_come_in_their_order(void **state) {
    struct joint_message message = {.kind = JOINT_PORTAL_AT, .number = 9, .set = 1, .member = 5},
                         got;
    int ends[2], fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(joint_receive(ends[1], &got, fds), -EAGAIN);
    assert_int_equal(joint_send(ends[0], &message, NULL), 0);
    message.kind = JOINT_PORTAL_CLOSED;
    assert_int_equal(joint_send(ends[0], &message, NULL), 0);
    assert_int_equal(joint_receive(ends[1], &got, fds), 1);
    assert_int_equal(got.kind, JOINT_PORTAL_AT);
    assert_int_equal(got.number, 9);
    assert_int_equal(got.set, 1);
    assert_int_equal(got.member, 5);
    assert_int_equal(fds[0], -1);
    assert_int_equal(joint_receive(ends[1], &got, fds), 1);
    assert_int_equal(got.kind, JOINT_PORTAL_CLOSED);
    close(ends[0]);
    assert_int_equal(joint_receive(ends[1], &got, fds), 0);
    close(ends[1]);
}

static void test_a_monitor_comes_with_its_two_sockets(void **state) {
    struct joint_message message = {.kind = JOINT_MONITOR, .number = 12}, got;
    int ends[2], pipes[2], fds[2];
    char byte;

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(joint_send(ends[0], &message, pipes), 0);
    assert_int_equal(joint_receive(ends[1], &got, fds), 1);
    assert_int_equal(got.number, 12);
    assert_int_equal(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    for (int i = 0; i < 2; i++) {
        close(ends[i]);
        close(pipes[i]);
        close(fds[i]);
    }
}

static void test_what_makes_no_sense_leaves_nothing_behind(void **state) {
    struct joint_message message = {.kind = JOINT_MONITOR}, got;
    int ends[2], fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(joint_send(ends[0], &message, NULL), 0); /* without its sockets */
    message.kind = JOINT_STRAY;
    assert_int_equal(joint_send(ends[0], &message, ends), 0); /* with sockets */
    message.kind = JOINT_STRAY + 1;
    assert_int_equal(joint_send(ends[0], &message, NULL), 0);
    assert_int_equal(send(ends[0], "x", 1, 0), 1);
    for (int i = 0; i < 4; i++)
        assert_int_equal(joint_receive(ends[1], &got, fds), -EPROTO);
    assert_int_equal(joint_receive(ends[1], &got, fds), -EAGAIN);
    close(ends[0]);
    close(ends[1]);
}

static void test_a_text_ends(void **state) {
    struct joint_message message = {.kind = JOINT_STRAY}, got;
    int ends[2], fds[2];

    memset(message.text, 'x', sizeof(message.text));
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(joint_send(ends[0], &message, NULL), 0);
    assert_int_equal(joint_receive(ends[1], &got, fds), 1);
    assert_int_equal(strlen(got.text), sizeof(got.text) - 1);
    close(ends[0]);
    close(ends[1]);
}

static void test_nobody_there_is_an_error_and_no_signal(void **state) {
    struct joint_message message = {.kind = JOINT_PORTAL_CLOSED};
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    close(ends[1]);
    assert_int_equal(joint_send(ends[0], &message, NULL), -EPIPE);
    close(ends[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        oracle_test(test_messages_come_in_their_order),
        oracle_test(test_a_monitor_comes_with_its_two_sockets),
        oracle_test(test_what_makes_no_sense_leaves_nothing_behind),
        oracle_test(test_a_text_ends),
        oracle_test(test_nobody_there_is_an_error_and_no_signal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

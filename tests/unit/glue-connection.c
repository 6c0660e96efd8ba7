/* SPDX-License-Identifier: MIT */
/* libfdset's connection: the handshake, replies for several threads, and every
 * way in which the helper may fail us. */
#include "fake-helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---------------------------------------------------------------- handshake */

static void test_handshake(void **state) {
    fake_begin_vmm();
    assert_int_equal(fcntl(fdset_vmm_socket(fake.vmm), F_GETFD), FD_CLOEXEC);
    assert_int_equal(fdset_vmm_helper_pid(fake.vmm), -1);
    fake_end();
}

/* Answers a VMM's Hello with this and returns what the attach returned. */
static int shake(struct call *call, uint32_t version, Fdset__V1__Role role) {
    call_attach_vmm(call);
    fake_hello(fake_receive(REQUEST_IS(HELLO))->serial, version, role);
    int result = call_end(call);
    assert_null(fake.vmm);
    fake_end();
    return result;
}

static void test_handshake_with_another_version(void **state) {
    struct call call;
    assert_int_equal(shake(&call, 2, ROLE(VMM)), -EPROTO);
    assert_non_null(strstr(call.text, "version 2"));
    assert_int_equal(shake(&call, 0, ROLE(VMM)), -EPROTO);
}

static void test_handshake_in_another_role(void **state) {
    struct call call;
    assert_int_equal(shake(&call, 1, ROLE(MANAGER)), -EPERM);
    assert_string_equal(call.text,
                        "this socket of fdset-helper's is for managers, not for VMMs: use its vmm "
                        "socket");
}

static void test_observer_is_a_manager_that_only_looks(void **state) {
    struct call call;
    call_attach_manager(&call);
    fake_hello(fake_receive(REQUEST_IS(HELLO))->serial, 1, ROLE(OBSERVER));
    assert_int_equal(call_end(&call), 0);
    fake_end();
}

static void test_handshake_refused(void **state) {
    struct call call;
    call_attach_vmm(&call);
    fake_error(fake_receive(REQUEST_IS(HELLO))->serial, EPERM, "not for user 7");
    assert_int_equal(call_end(&call), -EPERM);
    assert_string_equal(call.text, "not for user 7");
    fake_end();
}

/* Sends what a helper sends that turns a connection away, without having read
 * its Hello. The kernel may then report a reset before what had been sent, when
 * we send or when we receive. */
static void turn_away(void) {
    fake_error(0, EPERM, "not for user 7");
    fake_die();
}

static void test_turned_away_before_hello_is_sent(void **state) {
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    fake = (struct fake){.socket = ends[0]};
    assert_int_equal(send(ends[1], "unread", 6, 0), 6);
    turn_away();
    assert_int_equal(fdset_vmm_attach_fd(&fake.vmm, ends[1], NULL), -EPERM);
    assert_string_equal(fdset_error_text(), "not for user 7");
    fake_end();
}

/* The reset comes first only where our thread wakes up late: usual, not certain. */
static void test_turned_away_before_hello_is_read(void **state) {
    struct call call;
    for (int i = 0; i < 50; i++) {
        call_attach_vmm(&call);
        struct pollfd hello = {.fd = fake.socket, .events = POLLIN};
        assert_int_equal(poll(&hello, 1, -1), 1);
        turn_away();
        assert_int_equal(call_end(&call), -EPERM);
        assert_string_equal(call.text, "not for user 7");
        fake_end();
    }
}

static void test_attach_to_what_is_no_such_socket(void **state) {
    struct fdset_vmm *vmm;
    int ends[2];
    struct fdset_manager *manager;
    assert_int_equal(fdset_vmm_attach_fd(&vmm, null_open(O_RDWR), NULL), -ENOTSOCK);
    assert_null(vmm);
    assert_int_equal(fdset_vmm_attach_fd(&vmm, -1, NULL), -EBADF);
    assert_non_null(strstr(fdset_error_text(), "descriptor -1"));
    assert_int_equal(fdset_manager_attach_fd(&manager, -1, NULL), -EBADF);
    assert_null(manager);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(fdset_vmm_attach_fd(&vmm, ends[0], NULL), -EPROTOTYPE);
    close(ends[1]);
}

static void test_attach_by_a_path_where_nobody_is(void **state) {
    struct fdset_vmm *vmm;
    struct fdset_manager *manager;
    char path[200];
    assert_int_equal(fdset_vmm_attach_path(&vmm, "/nowhere/vmm.sock", NULL), -ENOENT);
    assert_string_equal(fdset_error_text(),
                        "cannot connect to /nowhere/vmm.sock: No such file or directory");
    assert_int_equal(fdset_manager_connect(&manager, "", NULL), -EINVAL);
    memset(path, 'a', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(fdset_manager_connect(&manager, path, NULL), -ENAMETOOLONG);
}

/* As whoever had it before has left it. Calls must wait none the less. */
static void test_inherited_socket_is_set_right(void **state) {
    struct call call;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends), 0);
    assert_int_equal(fcntl(ends[0], F_SETFL, 0), 0);
    fake = (struct fake){.socket = ends[0]};
    fake_hello(1, 1, ROLE(VMM));
    assert_int_equal(fdset_vmm_attach_fd(&fake.vmm, ends[1], NULL), 0);
    fake_receive(REQUEST_IS(HELLO));
    assert_int_equal(fcntl(ends[1], F_GETFD), FD_CLOEXEC);
    call_open(&call, "/dev/fdset/1", O_RDWR);
    Request *request = fake_receive(REQUEST_IS(OPEN));
    assert_false(fcntl(ends[1], F_GETFL) & O_NONBLOCK);
    fake_error(request->serial, ENOENT, "no set");
    assert_int_equal(call_end(&call), -ENOENT);
    fake_end();
}

/* ------------------------------------------------------------------ threads */

static void test_replies_in_another_order(void **state) {
    struct call slow, fast;
    int null = null_open(O_RDWR);
    fake_begin_vmm();

    call_open(&slow, "/dev/fdset/1", O_RDWR);
    uint32_t slow_serial = fake_receive(REQUEST_IS(OPEN))->serial;
    for (uint64_t lease = 1; lease <= 10; lease++) {
        call_open(&fast, "/dev/fdset/2", O_RDWR);
        Request *request = fake_receive(REQUEST_IS(OPEN));
        assert_string_equal(request->open->path, "/dev/fdset/2");
        assert_int_not_equal(request->serial, slow_serial);
        fake_opened(request->serial, lease, false, null);
        /* Ends although the slow one still waits. */
        int fd = call_end(&fast);
        assert_int_equal(fdset_lease(fake.vmm, fd), lease);
        assert_int_equal(fdset_close(fake.vmm, fd), 0);
        expect_close(lease);
    }
    fake_opened(slow_serial, 99, false, null);
    int fd = call_end(&slow);
    assert_int_equal(fdset_lease(fake.vmm, fd), 99);
    assert_int_equal(fdset_close(fake.vmm, fd), 0);
    expect_close(99);
    close(null);
    fake_end();
}

static void test_each_thread_has_its_own_text(void **state) {
    struct call other;
    fake_begin_vmm();
    assert_int_equal(fdset_open(fake.vmm, NULL, O_RDWR), -EFAULT);
    call_open(&other, "/dev/fdset/2", O_RDWR);
    fake_error(fake_receive(REQUEST_IS(OPEN))->serial, EACCES, "the other's");
    assert_int_equal(call_end(&other), -EACCES);
    assert_string_equal(other.text, "the other's");
    assert_string_equal(fdset_error_text(), "no path is given");
    fake_end();
}

#define THREADS 8
#define ROUNDS  50

/* One thread: what it is given must be of its own set. */
static void *open_and_close(void *data) {
    struct call *call = data;
    for (int round = 0; round < ROUNDS; round++) {
        int fd = fdset_open(fake.vmm, call->path, O_RDWR | O_CLOEXEC);
        if (fd < 0 || fdset_lease(fake.vmm, fd) != call->member || fdset_close(fake.vmm, fd) < 0)
            return (void *)"a thread got what was another's, or nothing";
    }
    return NULL;
}

/* An open that waits for its answer while five others are answered. */
struct held {
    uint32_t serial, set;
    int others;
};

static void answer(uint32_t serial, uint32_t set) {
    int null = null_open(O_RDWR);
    fake_opened(serial, set, false, null);
    close(null);
}

/* Serves all threads. The set's number says whose request it is, and so how many
 * are still to come from the others. */
static void serve_out_of_order(void) {
    int left[THREADS + 1], all_left = THREADS * ROUNDS, closes = 0;
    struct held held = {0};
    for (int i = 1; i <= THREADS; i++)
        left[i] = ROUNDS;
    while (closes < THREADS * ROUNDS) {
        if (held.serial && (held.others == 0 || all_left == left[held.set])) {
            answer(held.serial, held.set);
            held.serial = 0;
        }
        Request *request = fake_receive(ANY_REQUEST);
        if (request->body_case == REQUEST_IS(CLOSE)) {
            closes++;
            continue;
        }
        assert_int_equal(request->body_case, REQUEST_IS(OPEN));
        uint32_t set = (uint32_t)atoi(request->open->path + strlen("/dev/fdset/"));
        left[set]--;
        all_left--;
        if (held.serial) {
            held.others--;
            answer(request->serial, set);
        } else {
            held = (struct held){request->serial, set, 5};
        }
    }
}

static void test_many_threads(void **state) {
    struct call calls[THREADS];
    char paths[THREADS][32];
    fake_begin_vmm();
    for (uint32_t i = 0; i < THREADS; i++) {
        snprintf(paths[i], sizeof(paths[i]), "/dev/fdset/%u", i + 1);
        calls[i] = (struct call){.path = paths[i], .member = i + 1};
        assert_int_equal(pthread_create(&calls[i].thread, NULL, open_and_close, &calls[i]), 0);
    }
    serve_out_of_order();
    for (int i = 0; i < THREADS; i++) {
        void *problem;
        assert_int_equal(pthread_join(calls[i].thread, &problem), 0);
        if (problem)
            fail_msg("%s", (const char *)problem);
    }
    fake_end();
}

/* ------------------------------------------------------------ faulty helpers */

static void test_helper_dies_in_mid_request(void **state) {
    struct call one, other;
    fake_begin_vmm();
    int fd = open_lease(1);
    call_open(&one, "/dev/fdset/1", O_RDWR);
    fake_receive(REQUEST_IS(OPEN));
    call_open(&other, "/dev/fdset/1", O_RDWR);
    fake_receive(REQUEST_IS(OPEN));
    fake_die();
    assert_int_equal(call_end(&one), -ECONNRESET);
    assert_int_equal(call_end(&other), -ECONNRESET);
    assert_string_equal(one.text, "fdset-helper has hung up or died");
    assert_string_equal(other.text, "fdset-helper has hung up or died");

    /* From now on everything fails at once, but what was opened stays good. */
    struct fdset_open_request request = {.path = "/dev/fdset/1", .flags = O_RDWR};
    assert_int_equal(fdset_open(fake.vmm, "/dev/fdset/1", O_RDWR), -ECONNRESET);
    assert_int_equal(fdset_open_many(fake.vmm, &request, 1), -ECONNRESET);
    assert_int_equal(request.fd, -ECONNRESET);
    assert_true(is_open(fd));
    assert_int_equal(fdset_close(fake.vmm, fd), 0);
    assert_false(is_open(fd));
    fake_end();
}

static void test_helper_dies_before_the_request(void **state) {
    fake_begin_vmm();
    fake_die();
    assert_int_equal(fdset_open(fake.vmm, "/dev/fdset/1", O_RDWR), -ECONNRESET);
    assert_int_equal(fdset_open(fake.vmm, "/dev/fdset/1", O_RDWR), -ECONNRESET);
    fake_end();
}

/* As it does with a malformed request. */
static void test_helper_says_why_it_hangs_up(void **state) {
    struct call call;
    fake_begin_vmm();
    call_open(&call, "/dev/fdset/1", O_RDWR);
    fake_receive(REQUEST_IS(OPEN));
    fake_error(0, EPROTO, "malformed packet");
    fake_die();
    assert_int_equal(call_end(&call), -ECONNRESET);
    assert_string_equal(call.text, "fdset-helper has hung up or died: malformed packet");
    fake_end();
}

/* Two threads wait; what comes is no Reply. Neither may wait on, and the helper
 * must see that nobody reads any more. */
static void test_garbage_ends_the_connection(void **state) {
    struct call one, other;
    fake_begin_vmm();
    call_open(&one, "/dev/fdset/1", O_RDWR);
    fake_receive(REQUEST_IS(OPEN));
    call_open(&other, "/dev/fdset/1", O_RDWR);
    fake_receive(REQUEST_IS(OPEN));
    fake_send_bytes("\xff\xff\xff", 3);
    assert_int_equal(call_end(&one), -EPROTO);
    assert_int_equal(call_end(&other), -EPROTO);
    assert_int_equal(fdset_open(fake.vmm, "/dev/fdset/1", O_RDWR), -EPROTO);
    fake_receive_hangup();
    fake_end();
}

static void test_answer_of_another_kind(void **state) {
    struct call call;
    fake_begin_vmm();
    call_open(&call, "/dev/fdset/1", O_RDWR);
    fake_hello(fake_receive(REQUEST_IS(OPEN))->serial, 1, ROLE(VMM));
    assert_int_equal(call_end(&call), -EPROTO);
    fake_end();
}

/* Its descriptor must not stay open: the oracle sees to that. */
static void test_answer_to_nobody_is_dropped(void **state) {
    struct call call;
    int null = null_open(O_RDWR);
    fake_begin_vmm();
    call_open(&call, "/dev/fdset/1", O_RDWR);
    uint32_t serial = fake_receive(REQUEST_IS(OPEN))->serial;
    fake_opened(serial + 1000, 7, false, null);
    fake_error(serial, ENOENT, "no set");
    assert_int_equal(call_end(&call), -ENOENT);
    close(null);
    fake_end();
}

static void test_text_and_number_of_an_error_are_made_safe(void **state) {
    static const int numbers[] = {0, -5, 70000};
    struct call call;
    fake_begin_vmm();
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        call_open(&call, "/dev/fdset/1", O_RDWR);
        fake_error(fake_receive(REQUEST_IS(OPEN))->serial, numbers[i], "a\n\033[31mred %s");
        assert_int_equal(call_end(&call), -EPROTO);
        assert_string_equal(call.text, "a??[31mred %s");
    }
    fake_end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        oracle_test(test_handshake),
        oracle_test(test_handshake_with_another_version),
        oracle_test(test_handshake_in_another_role),
        oracle_test(test_observer_is_a_manager_that_only_looks),
        oracle_test(test_handshake_refused),
        oracle_test(test_turned_away_before_hello_is_sent),
        oracle_test(test_turned_away_before_hello_is_read),
        oracle_test(test_attach_to_what_is_no_such_socket),
        oracle_test(test_attach_by_a_path_where_nobody_is),
        oracle_test(test_inherited_socket_is_set_right),
        oracle_test(test_replies_in_another_order),
        oracle_test(test_each_thread_has_its_own_text),
        oracle_test(test_many_threads),
        oracle_test(test_helper_dies_in_mid_request),
        oracle_test(test_helper_dies_before_the_request),
        oracle_test(test_helper_says_why_it_hangs_up),
        oracle_test(test_garbage_ends_the_connection),
        oracle_test(test_answer_of_another_kind),
        oracle_test(test_answer_to_nobody_is_dropped),
        oracle_test(test_text_and_number_of_an_error_are_made_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* libfdset's opens for event loops where a socket is full, one way or both: what cannot be
 * sent is kept or refused, nothing is lost or stuck, who polls hears when there is room, and
 * who dispatches waits no longer than he wants. */
#include "together.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* What becomes of all that fill the socket. */
static struct outcome *const many = &outcomes[1];

static int submit_till_full(void) {
    int count = 0, error;
    while (!(error = fdset_open_submit(fake.vmm, "/dev/fdset/1", O_RDWR, 0, note, many)))
        count++;
    assert_int_equal(error, -EAGAIN);
    return count;
}

static int opens_in(const Request *request) {
    return request->body_case == REQUEST_IS(OPEN) ? 1 : (int)request->open_many->n_opens;
}

/* Answers one packet, whatever number of opens it is. Returns that, or 0 where there is
 * no room for the answer. */
static int refuse_if_there_is_room(const Request *request) {
    static Fdset__V1__OpenedMany__Result result, *results[250];
    uint8_t bytes[FDSET_MAX_PACKET_BYTES];
    Reply reply = FDSET__V1__REPLY__INIT;
    Fdset__V1__Error error = FDSET__V1__ERROR__INIT;
    Fdset__V1__OpenedMany opened = FDSET__V1__OPENED_MANY__INIT;
    reply.serial = request->serial;
    error.error_number = ENOENT;
    if (request->body_case == REQUEST_IS(OPEN)) {
        reply.body_case = REPLY_IS(ERROR);
        reply.error = &error;
    } else {
        reply.body_case = REPLY_IS(OPENED_MANY);
        reply.opened_many = &opened;
        opened.n_results = request->open_many->n_opens;
        opened.results = results;
        fdset__v1__opened_many__result__init(&result);
        result.outcome_case = FDSET__V1__OPENED_MANY__RESULT__OUTCOME_ERROR;
        result.error = &error;
        for (size_t i = 0; i < opened.n_results; i++)
            results[i] = &result;
    }
    int length = packet_encode(&reply.base, bytes);
    if (packet_send(fake.socket, bytes, (size_t)length, NULL, 0, MSG_DONTWAIT) < 0)
        return 0;
    return opens_in(request);
}

/* All that were sent while there was room, and those that were not. */
static void test_too_many_are_refused_until_dispatched(void **state) {
    begin_all();
    int count = submit_till_full(), answered = 0;
    assert_true(count > 0);
    while (answered < count) {
        int now = refuse_if_there_is_room(fake_receive(ANY_REQUEST));
        assert_true(now > 0);
        answered += now;
        assert_int_equal(fdset_vmm_dispatch(fake.vmm, -1), now);
    }
    assert_int_equal(many->count, count);
    submit(2);
    fake_error(receive_open(2), ENOENT, "no set");
    dispatch(1);
    expect_failed(2, ENOENT, "no set");
    fake_end();
}

/* Both ways are full: the helper reads no more until we read, and nobody dispatches.
 * `held` is what it cannot answer. */
static int fill_both_ways(uint32_t *held) {
    int count = submit_till_full();
    for (;;) {
        Request *request = fake_receive(ANY_REQUEST);
        *held = request->serial;
        if (!refuse_if_there_is_room(request))
            return count + submit_till_full();
        while (fdset_open_submit(fake.vmm, "/dev/fdset/1", O_RDWR, 0, note, many) == 0)
            count++;
    }
}

static void test_close_and_open_while_all_is_full(void **state) {
    struct call call;
    uint32_t held;
    begin_all();
    int fd = open_lease(7);
    int count = fill_both_ways(&held), calls = 0;
    call_open(&call, "/dev/fdset/2", O_RDONLY);
    fake_error(held, ENOENT, "no set");
    while (calls == 0) {
        Request *request = fake_receive(ANY_REQUEST);
        calls += request->body_case == REQUEST_IS(OPEN) &&
                 strcmp(request->open->path, "/dev/fdset/2") == 0;
        fake_error(request->serial, ENOENT, "no set");
    }
    assert_int_equal(call_end(&call), -ENOENT);
    while (fdset_vmm_dispatch(fake.vmm, 0) > 0) {
    }
    assert_int_equal(many->count, count);
    assert_int_equal(fdset_close(fake.vmm, fd), 0);
    expect_close(7);
    fake_end();
}

#define FILLERS 40

static char long_path[] = "/dev/fdset/a-name-of-sixty-characters-so-that-a-packet-is-large-enough";

/* Fills the socket by calls that wait, which the helper does not read yet. */
static int fill_by_calls(struct call *calls, struct fdset_open_request (*requests)[200]) {
    int socket = fdset_vmm_socket(fake.vmm), started = 0, room, used = 0;
    socklen_t size = sizeof(room);
    assert_int_equal(getsockopt(socket, SOL_SOCKET, SO_SNDBUF, &room, &size), 0);
    for (; used < room && started < FILLERS; started++) {
        int before = used;
        for (int i = 0; i < 200; i++)
            requests[started][i] = (struct fdset_open_request){.path = long_path, .flags = O_RDWR};
        call_open_many(&calls[started], requests[started], 200);
        while (used == before)
            assert_int_equal(ioctl(socket, SIOCOUTQ, &used), 0);
    }
    assert_true(used >= room);
    return started;
}

static atomic_int submitter;

static void *run_submit(void *data) {
    struct call *call = data;
    submitter = gettid();
    call->result = fdset_open_submit(fake.vmm, "/dev/fdset/1", O_RDWR, 0, note, many);
    return NULL;
}

/* Returns when the submitting thread sleeps, or has ended already. */
static void await_submitter(void) {
    char path[64], state = 'R';
    while (!submitter) {
    }
    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", submitter);
    while (state != 'S') {
        FILE *file = fopen(path, "re");
        if (!file)
            return;
        if (fscanf(file, "%*d %*s %c", &state) != 1)
            state = 'S';
        fclose(file);
    }
}

/* No outcome would tell when to try again. */
static void test_full_of_others_calls(void **state) {
    static struct fdset_open_request requests[FILLERS][200];
    struct call calls[FILLERS], call;
    begin_all();
    int count = fill_by_calls(calls, requests);
    assert_int_equal(pthread_create(&call.thread, NULL, run_submit, &call), 0);
    await_submitter();
    for (int i = 0; i < count + 1; i++)
        fake_error(fake_receive(ANY_REQUEST)->serial, ENOENT, "no set");
    assert_int_equal(call_end(&call), 0);
    for (int i = 0; i < count; i++)
        assert_int_equal(call_end(&calls[i]), -ENOENT);
    assert_int_equal(fdset_vmm_dispatch(fake.vmm, -1), 1);
    assert_int_equal(many->fd, -ENOENT);
    fake_end();
}

/* Nothing can be done before the helper reads, and then who polls hears of it. */
static void test_who_polls_while_all_is_full(void **state) {
    begin_all();
    int poll_fd = fdset_vmm_poll_fd(fake.vmm);
    int count = submit_till_full(), received = 0;
    assert_false(poll_says(poll_fd));
    dispatch(0);
    assert_false(poll_says(poll_fd));
    while (!poll_says(poll_fd))
        received += opens_in(fake_receive(ANY_REQUEST));
    dispatch(0);
    assert_false(poll_says(poll_fd));
    while (received < count)
        received += opens_in(fake_receive(REQUEST_IS(OPEN_MANY)));
    assert_int_equal(received, count);
    nothing_is_sent();
    fake_end();
    assert_int_equal(many->count, count);
}

/* What is full is so for all that dispatch. */
static void test_dispatching_waits_for_room(void **state) {
    struct call loop;
    begin_all();
    int count = submit_till_full(), received = 0;
    call_dispatch(&loop);
    while (received < count) {
        Request *request = fake_receive(ANY_REQUEST);
        received += opens_in(request);
        if (received == count)
            fake_error(request->serial, ENOENT, "no set");
    }
    assert_true(call_end(&loop) > 0);
    fake_end();
    assert_int_equal(many->count, count);
}

/* Bytes that were sent and not read, with the kernel's own part of them. */
static int unread(void) {
    int bytes;

    assert_int_equal(ioctl(fake.socket, SIOCOUTQ, &bytes), 0);
    return bytes;
}

/* Fills our socket with answers to nobody. */
static void flood(void) {
    uint8_t bytes[64];
    Reply reply = FDSET__V1__REPLY__INIT;
    Fdset__V1__Done done = FDSET__V1__DONE__INIT;

    reply.serial = 0xffffff;
    reply.body_case = REPLY_IS(DONE);
    reply.done = &done;
    size_t length = (size_t)packet_encode(&reply.base, bytes);
    while (packet_send(fake.socket, bytes, length, NULL, 0, MSG_DONTWAIT) == 0)
        ;
}

/* Who does not wait at all leaves some of what fills the socket, and takes it in later. */
static void expect_end_in_time(void) {
    int full = unread();

    dispatch(0);
    assert_in_range(unread(), 1, full - 1);
    while (unread() > 0)
        dispatch(0);
}

/* What comes without end, but is no outcome, keeps nobody for longer than he wants to wait. */
static void test_dispatch_ends_in_time(void **state) {
    begin_all();
    flood();
    expect_end_in_time();
    fake_end();
}

/* Nor where there is more to be sent than the helper takes. */
static void test_dispatch_without_room_ends_in_time(void **state) {
    begin_all();
    int count = submit_till_full();
    flood();
    expect_end_in_time();
    while (count > 0) {
        count -= opens_in(fake_receive(ANY_REQUEST));
        dispatch(0);
    }
    fake_end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        oracle_test(test_too_many_are_refused_until_dispatched),
        oracle_test(test_close_and_open_while_all_is_full),
        oracle_test(test_full_of_others_calls),
        oracle_test(test_who_polls_while_all_is_full),
        oracle_test(test_dispatching_waits_for_room),
        oracle_test(test_dispatch_ends_in_time),
        oracle_test(test_dispatch_without_room_ends_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

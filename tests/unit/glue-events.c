/* SPDX-License-Identifier: MIT */
/* libfdset's events: in order, whole or with a count of what is missing, for
 * several threads, and told to who polls whoever read them. */
#include "fake-helper.h"

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define EVENT(name) FDSET__V1__EVENT_KIND__EVENT_##name

/* Sends `count` events in one packet, numbered from `first`. */
static void send_events(uint64_t first, size_t count, uint64_t lost) {
    Fdset__V1__Event events[200], *pointers[200];
    Fdset__V1__Events body = FDSET__V1__EVENTS__INIT;
    Reply reply = FDSET__V1__REPLY__INIT;
    assert_true(count <= 200);
    for (size_t i = 0; i < count; i++) {
        fdset__v1__event__init(&events[i]);
        events[i].kind = EVENT(ADDED);
        events[i].sequence = first + i;
        events[i].time_ms = 1000 * (first + i) + 7;
        events[i].which_case = FDSET__V1__EVENT__WHICH_SET;
        events[i].set = 3;
        pointers[i] = &events[i];
    }
    body.n_events = count;
    body.events = pointers;
    body.lost = lost;
    reply.body_case = REPLY_IS(EVENTS);
    reply.events = &body;
    fake_reply(&reply, NULL, 0);
}

static void *run_subscribe(void *data) {
    struct call *call = data;
    call->result = fdset_subscribe(fake.manager, (uint32_t)call->flags);
    return NULL;
}

/* Returns the request; the answer is the caller's to send. */
static Request *begin_subscribe(struct call *call, uint32_t kinds) {
    *call = (struct call){.flags = (int)kinds};
    assert_int_equal(pthread_create(&call->thread, NULL, run_subscribe, call), 0);
    return fake_receive(REQUEST_IS(SUBSCRIBE));
}

static void subscribe(uint32_t kinds) {
    struct call call;
    fake_done(begin_subscribe(&call, kinds)->serial);
    assert_int_equal(call_end(&call), 0);
}

static struct fdset_event next(void) {
    struct fdset_event event;
    assert_int_equal(fdset_next_event(fake.manager, &event, -1), 1);
    return event;
}

static void assert_none(void) {
    struct fdset_event event;
    assert_int_equal(fdset_next_event(fake.manager, &event, 0), 0);
}

static void test_order_and_content(void **state) {
    fake_begin_manager();
    subscribe(0);
    assert_none();
    send_events(10, 2, 0);
    send_events(12, 1, 0);
    for (uint64_t sequence = 10; sequence < 13; sequence++) {
        struct fdset_event event = next();
        assert_int_equal(event.sequence, sequence);
        assert_int_equal(event.time_ms, 1000 * sequence + 7);
        assert_int_equal(event.kind, FDSET_EVENT_ADDED);
        assert_int_equal(event.set, 3);
        assert_int_equal(event.lost, 0);
        assert_string_equal(event.path, "");
    }
    assert_none();
    fake_end();
}

static void test_kinds_and_subscribing_twice(void **state) {
    struct call call;
    fake_begin_manager();
    Request *request = begin_subscribe(&call, FDSET_EVENT_BIT(FDSET_EVENT_WANTED) |
                                                  FDSET_EVENT_BIT(FDSET_EVENT_VMM_GONE));
    assert_int_equal(request->subscribe->n_kinds, 2);
    assert_int_equal(request->subscribe->kinds[0], EVENT(WANTED));
    assert_int_equal(request->subscribe->kinds[1], EVENT(VMM_GONE));
    send_events(1, 1, 0); /* also before the reply */
    fake_done(request->serial);
    assert_int_equal(call_end(&call), 0);

    request = begin_subscribe(&call, 0);
    assert_int_equal(request->subscribe->n_kinds, 0);
    fake_done(request->serial);
    assert_int_equal(call_end(&call), 0);
    assert_int_equal(next().sequence, 1); /* kept */
    assert_none();
    fake_end();
}

static void test_refused_subscription(void **state) {
    struct call call;
    fake_begin_manager();
    fake_error(begin_subscribe(&call, 1)->serial, EINVAL, "no such kind");
    assert_int_equal(call_end(&call), -EINVAL);
    fake_end();
}

static void test_lost_by_the_helper(void **state) {
    fake_begin_manager();
    subscribe(0);
    send_events(1, 1, 0);
    send_events(8, 2, 6);
    assert_int_equal(next().lost, 0);
    assert_int_equal(next().lost, 6);
    assert_int_equal(next().lost, 0);
    fake_end();
}

/* Whoever reads a reply reads the events that lie before it. */
static void read_all_by_a_call(void) {
    struct call call;
    call_remove(&call, 1, 0);
    fake_error(fake_receive(REQUEST_IS(REMOVE_FD))->serial, ENOENT, "no set");
    assert_int_equal(call_end(&call), -ENOENT);
}

static void test_lost_by_the_library(void **state) {
    fake_begin_manager();
    subscribe(0);
    for (uint64_t sequence = 1; sequence <= 1024 + 100; sequence += 4) {
        send_events(sequence, 4, 0);
        read_all_by_a_call();
    }
    for (uint64_t sequence = 1; sequence <= 1024; sequence++) {
        struct fdset_event event = next();
        assert_int_equal(event.sequence, sequence);
        assert_int_equal(event.lost, 0);
    }
    assert_none();
    send_events(2000, 1, 5);
    struct fdset_event event = next();
    assert_int_equal(event.sequence, 2000);
    assert_int_equal(event.lost, 105);
    fake_end();
}

static void test_poll_hears_of_events_that_a_call_has_read(void **state) {
    fake_begin_manager();
    int poll_fd = fdset_manager_poll_fd(fake.manager);
    assert_true(poll_fd >= 0);
    subscribe(0);
    assert_false(poll_says(poll_fd));
    send_events(1, 2, 0);
    assert_true(poll_says(poll_fd));
    read_all_by_a_call();
    assert_false(poll_says(fdset_manager_socket(fake.manager)));
    assert_true(poll_says(poll_fd));
    next();
    assert_true(poll_says(poll_fd));
    next();
    assert_false(poll_says(poll_fd));
    fake_end();
}

/* ------------------------------------------------------------------ threads */

static void *run_next(void *data) {
    struct call *call = data;
    struct fdset_event event = {0};
    call->result = fdset_next_event(fake.manager, &event, -1);
    call->member = (uint32_t)event.sequence;
    return NULL;
}

static void start_next(struct call *call) {
    assert_int_equal(pthread_create(&call->thread, NULL, run_next, call), 0);
}

static void test_several_threads_share_them(void **state) {
    struct call calls[4];
    uint32_t seen = 0;
    fake_begin_manager();
    subscribe(0);
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 4; i++)
            start_next(&calls[i]);
        send_events(1, 3, 0);
        send_events(4, 1, 0);
        seen = 0;
        for (int i = 0; i < 4; i++) {
            assert_int_equal(call_end(&calls[i]), 1);
            seen |= 1u << calls[i].member;
        }
        assert_int_equal(seen, 0x1e);
    }
    fake_end();
}

/* As with opens that were submitted: who leaves must let another read. */
static void test_reader_of_events_leaves_a_thread_that_waits(void **state) {
    fake_begin_manager();
    subscribe(0);
    for (int round = 0; round < 100; round++) {
        struct call events, call;
        start_next(&events);
        call_remove(&call, 1, 0);
        uint32_t serial = fake_receive(REQUEST_IS(REMOVE_FD))->serial;
        send_events(1, 1, 0);
        assert_int_equal(call_end(&events), 1);
        fake_error(serial, ENOENT, "no set");
        assert_int_equal(call_end(&call), -ENOENT);
    }
    fake_end();
}

static void test_helper_dies(void **state) {
    struct fdset_event event;
    struct call calls[2];
    fake_begin_manager();
    subscribe(0);
    send_events(1, 1, 0);
    assert_int_equal(next().sequence, 1);
    start_next(&calls[0]);
    start_next(&calls[1]);
    fake_die();
    assert_int_equal(call_end(&calls[0]), -ECONNRESET);
    assert_int_equal(call_end(&calls[1]), -ECONNRESET);
    assert_int_equal(fdset_next_event(fake.manager, &event, 0), -ECONNRESET);
    fake_end();
}

/* What came before the end is still given. */
static void test_last_words(void **state) {
    struct fdset_event event;
    fake_begin_manager();
    subscribe(0);
    send_events(1, 2, 0);
    fake_die();
    assert_int_equal(next().sequence, 1);
    assert_int_equal(next().sequence, 2);
    assert_int_equal(fdset_next_event(fake.manager, &event, -1), -ECONNRESET);
    fake_end();
}

static void test_child_has_no_part_in_it(void **state) {
    struct fdset_event event;
    int status;
    fake_begin_manager();
    pid_t child = fork();
    if (child == 0) {
        bool right = fdset_subscribe(fake.manager, 0) == -ESTALE &&
                     fdset_next_event(fake.manager, &event, 0) == -ESTALE &&
                     fdset_manager_poll_fd(fake.manager) == -ESTALE;
        fdset_manager_free(fake.manager);
        closefrom(3);
        _exit(!right);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    fake_end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        oracle_test(test_order_and_content),
        oracle_test(test_kinds_and_subscribing_twice),
        oracle_test(test_refused_subscription),
        oracle_test(test_lost_by_the_helper),
        oracle_test(test_lost_by_the_library),
        oracle_test(test_poll_hears_of_events_that_a_call_has_read),
        oracle_test(test_several_threads_share_them),
        oracle_test(test_reader_of_events_leaves_a_thread_that_waits),
        oracle_test(test_helper_dies),
        oracle_test(test_last_words),
        oracle_test(test_child_has_no_part_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* libfdset when its helper is restarted, in an event loop: who polls is told what there is to
 * do, no step of it waits, and a subscription goes on. */
#include "restart.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

static void test_event_loop(void **state) {
    begin_vmm(&eager);
    int poll_fd = fdset_vmm_poll_fd(fake.vmm);
    assert_int_equal(fdset_open_submit(fake.vmm, "/dev/fdset/1", O_RDWR, 0, note, NULL), 0);
    fake_receive(REQUEST_IS(OPEN));
    fake_die();
    poll_for_ever(poll_fd);
    assert_int_equal(fdset_vmm_dispatch(fake.vmm, 0), 1);
    assert_int_equal(outcome, -ECONNRESET);
    assert_int_equal(fdset_open_submit(fake.vmm, "/dev/fdset/1", O_RDWR, 0, note, NULL),
                     -ECONNRESET);

    /* It is told that there is an attempt to make, and makes it, without waiting for the
     * helper's answer. */
    poll_for_ever(poll_fd);
    assert_int_equal(fdset_vmm_dispatch(fake.vmm, 0), 0);
    assert_string_equal(story, "D");
    assert_false(poll_says(poll_fd));
    assert_int_equal(fdset_open_submit(fake.vmm, "/dev/fdset/1", O_RDWR, 0, note, NULL),
                     -ECONNRESET);
    accept_role(ROLE(VMM));
    poll_for_ever(poll_fd);
    assert_int_equal(fdset_vmm_dispatch(fake.vmm, 0), 0);
    assert_string_equal(story, "DU");

    /* And it polls the new socket. */
    assert_int_equal(fdset_open_submit(fake.vmm, "/dev/fdset/1", O_RDWR, 0, note, NULL), 0);
    uint32_t serial = fake_receive(REQUEST_IS(OPEN))->serial;
    assert_false(poll_says(poll_fd));
    fake_error(serial, EBUSY, "busy");
    poll_for_ever(poll_fd);
    assert_int_equal(fdset_vmm_dispatch(fake.vmm, 0), 1);
    assert_int_equal(outcome, -EBUSY);
    end();
}

/* Nor does it wait for one that never answers: it gives that attempt up when it is told to
 * look again, which is a second later. */
static void test_event_loop_and_a_helper_that_does_not_answer(void **state) {
    begin_vmm(&hopeless);
    int poll_fd = fdset_vmm_poll_fd(fake.vmm);
    fake_die();
    poll_for_ever(poll_fd);
    assert_int_equal(fdset_vmm_dispatch(fake.vmm, 0), 0);
    accept_one();
    struct pollfd pollfd = {poll_fd, POLLIN, 0};
    assert_int_equal(poll(&pollfd, 1, 500), 0);
    assert_int_equal(fdset_vmm_dispatch(fake.vmm, 0), 0);
    assert_string_equal(story, "D");
    poll_for_ever(poll_fd);
    assert_int_equal(fdset_vmm_dispatch(fake.vmm, 0), -ECONNRESET);
    assert_string_equal(story, "DG");
    end();
}

/* Two are not sent yet as the helper goes: they are no concern of the next one's. */
static void test_what_was_unsent_fails(void **state) {
    struct call call;
    begin_vmm(&eager);
    for (int i = 0; i < 3; i++)
        assert_int_equal(fdset_open_submit(fake.vmm, "/dev/fdset/1", O_RDWR, 0, note, NULL), 0);
    fake_receive(REQUEST_IS(OPEN));
    fake_die();
    call_open(&call, "/dev/fdset/2", O_RDWR);
    accept_role(ROLE(VMM));
    Request *request = fake_receive(REQUEST_IS(OPEN));
    assert_string_equal(request->open->path, "/dev/fdset/2");
    fake_error(request->serial, EBUSY, "busy");
    assert_int_equal(call_end(&call), -EBUSY);
    outcome = 0;
    assert_int_equal(fdset_vmm_dispatch(fake.vmm, 0), 3);
    assert_int_equal(outcome, -ECONNRESET);

    /* And what is submitted now is the first again. */
    assert_int_equal(fdset_open_submit(fake.vmm, "/dev/fdset/3", O_RDWR, 0, note, NULL), 0);
    fake_error(fake_receive(REQUEST_IS(OPEN))->serial, ENOENT, "no set");
    assert_int_equal(fdset_vmm_dispatch(fake.vmm, -1), 1);
    assert_int_equal(outcome, -ENOENT);
    end();
}

/* ------------------------------------------------------------------ managers */

static void *run_next(void *data) {
    struct call *call = data;
    struct fdset_event event = {0};
    call->result = fdset_next_event(fake.manager, &event, -1);
    call->set = (int)event.kind;
    return NULL;
}

static void *run_subscribe(void *data) {
    struct call *call = data;
    call->result = fdset_subscribe(fake.manager, FDSET_EVENT_BIT(FDSET_EVENT_WANTED));
    return NULL;
}

static void serve_subscribe(void) {
    Request *request = fake_receive(REQUEST_IS(SUBSCRIBE));
    assert_int_equal(request->subscribe->n_kinds, 1);
    assert_int_equal(request->subscribe->kinds[0], FDSET__V1__EVENT_KIND__EVENT_WANTED);
    fake_done(request->serial);
}

static void test_subscription_goes_on(void **state) {
    struct fdset_event event;
    struct call call;
    begin(ROLE(MANAGER));
    assert_int_equal(fdset_manager_set_reconnect(fake.manager, &eager), 0);
    int poll_fd = fdset_manager_poll_fd(fake.manager);
    assert_int_equal(pthread_create(&call.thread, NULL, run_subscribe, &call), 0);
    serve_subscribe();
    assert_int_equal(call_end(&call), 0);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(pthread_create(&call.thread, NULL, run_next, &call), 0);
        fake_die();
        accept_role(ROLE(MANAGER));
        serve_subscribe();
        assert_int_equal(call_end(&call), 1);
        assert_int_equal(call.set, FDSET_EVENT_RECONNECTED);
        assert_int_equal(fdset_next_event(fake.manager, &event, 0), 0);
        assert_false(poll_says(poll_fd));
    }
    assert_string_equal(story, "DUDUDU");
    end();
}

static void ask_for_events(void *context, enum fdset_link link, const char *text) {
    struct fdset_event event;
    assert_int_equal(fdset_next_event(fake.manager, &event, 0), -EDEADLK);
    tell(context, link, text);
}

/* All of it in one thread: no step waits for the helper. */
static void test_subscription_goes_on_in_a_loop(void **state) {
    struct fdset_reconnect reconnect = eager;
    struct fdset_event event;
    struct call call;
    reconnect.state = ask_for_events;
    begin(ROLE(MANAGER));
    assert_int_equal(fdset_manager_set_reconnect(fake.manager, &reconnect), 0);
    int poll_fd = fdset_manager_poll_fd(fake.manager);
    assert_int_equal(pthread_create(&call.thread, NULL, run_subscribe, &call), 0);
    serve_subscribe();
    assert_int_equal(call_end(&call), 0);
    fake_die();
    poll_for_ever(poll_fd);
    assert_int_equal(fdset_next_event(fake.manager, &event, 0), 0);
    accept_role(ROLE(MANAGER));
    poll_for_ever(poll_fd);
    assert_int_equal(fdset_next_event(fake.manager, &event, 0), 0);
    assert_string_equal(story, "D");
    serve_subscribe();
    poll_for_ever(poll_fd);
    assert_int_equal(fdset_next_event(fake.manager, &event, 0), 1);
    assert_int_equal(event.kind, FDSET_EVENT_RECONNECTED);
    assert_string_equal(story, "DU");
    end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        oracle_test(test_event_loop),
        oracle_test(test_event_loop_and_a_helper_that_does_not_answer),
        oracle_test(test_what_was_unsent_fails),
        oracle_test(test_subscription_goes_on),
        oracle_test(test_subscription_goes_on_in_a_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

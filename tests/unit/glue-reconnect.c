/* SPDX-License-Identifier: MIT */
/* libfdset when its helper is restarted: the next call finds the new one, nothing
 * that the old one gave is told to it, and somebody hears of it all. */
#include "fake-helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "feature.h"

static char directory[64], path[80];
static int listening = -1;

/* What the callback was told: U, D, G. */
static char story[64];

static void tell(void *context, enum fdset_link link, const char *text) {
    assert_ptr_equal(context, &story);
    assert_true(strlen(text) > 0);
    strncat(story,
            link == FDSET_LINK_UP     ? "U"
            : link == FDSET_LINK_DOWN ? "D"
                                      : "G",
            sizeof(story) - strlen(story) - 1);
}

static const struct fdset_reconnect eager = {
    .first_ms = 1, .most_ms = 2, .give_up_ms = 60000, .state = tell, .context = &story};

/* One attempt, and no more for an hour. */
static const struct fdset_reconnect hopeless = {
    .first_ms = 3600000, .give_up_ms = 1, .state = tell, .context = &story};

/* -------------------------------------------------------------- the helper */

static void listen_again(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    unlink(path);
    listening = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    strcpy(address.sun_path, path);
    assert_int_equal(bind(listening, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listening, 5), 0);
}

static void stop_listening(void) {
    close(listening);
    listening = -1;
}

static Request *accept_one(void) {
    fake.socket = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fake.socket >= 0);
    return fake_receive(REQUEST_IS(HELLO));
}

static void accept_role(Fdset__V1__Role role) {
    Request *request = accept_one();
    assert_string_equal(request->hello->name, "a name");
    assert_string_equal(request->hello->owner, role == ROLE(MANAGER) ? "a label" : "");
    fake_hello(request->serial, 1, role);
}

static void *run_attach(void *data) {
    struct call *call = data;
    call->result = fdset_vmm_attach_path(&fake.vmm, path, "a name");
    return NULL;
}

static void *run_connect(void *data) {
    struct fdset_manager_options options = {.name = "a name", .owner = "a label"};
    struct call *call = data;
    call->result = fdset_manager_connect_as(&fake.manager, path, &options);
    return NULL;
}

static void begin(Fdset__V1__Role role) {
    struct call call;
    strcpy(directory, "/tmp/fdset-reconnect-XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/socket", directory);
    story[0] = '\0';
    fake = (struct fake){.socket = -1};
    listen_again();
    assert_int_equal(
        pthread_create(&call.thread, NULL, role == ROLE(VMM) ? run_attach : run_connect, &call), 0);
    accept_role(role);
    assert_int_equal(call_end(&call), 0);
}

static void end(void) {
    if (listening >= 0)
        stop_listening();
    unlink(path);
    rmdir(directory);
    fake_end();
}

static void begin_vmm(const struct fdset_reconnect *reconnect) {
    begin(ROLE(VMM));
    assert_int_equal(fdset_vmm_set_reconnect(fake.vmm, reconnect), 0);
}

/* ---------------------------------------------------------------------- VMM */

/* No attempt is made for a lease that ended with its helper, and the next one, whose leases
 * have the same numbers, hears nothing of it. */
static void test_close_that_waits_is_for_the_old_helper(void **state) {
    fake_features = FEATURE_BIT(CLOSE_ANSWER);
    begin_vmm(&hopeless);
    fake_features = 0;
    int fd = open_lease(7);
    fake_die();
    stop_listening();
    assert_int_equal(fdset_close_wait(fake.vmm, fd), 0);
    assert_string_equal(story, "");
    end();
}

/* Both helpers give lease 7: only the second one's may be told to the second. */
static void test_old_leases_are_not_told_to_the_new_helper(void **state) {
    struct call call;
    begin_vmm(&eager);
    int socket = fdset_vmm_socket(fake.vmm);
    int old = open_lease(7), copy = dup(old), replaced = open_lease(8);
    assert_int_equal(fdset_duplicated(fake.vmm, old, copy), 0);
    fake_die();
    call_open(&call, "/dev/fdset/1", O_RDWR);
    accept_role(ROLE(VMM));
    int null = null_open(O_RDWR);
    close(replaced); /* behind the library's back: the number comes again */
    fake_opened(fake_receive(REQUEST_IS(OPEN))->serial, 7, false, null);
    int new = call_end(&call);
    close(null);
    assert_true(new >= 0);
    assert_string_equal(story, "DU");
    assert_int_equal(fdset_vmm_socket(fake.vmm), socket);
    assert_int_equal(fcntl(socket, F_GETFD), FD_CLOEXEC);

    assert_int_equal(fdset_lease(fake.vmm, old), 0);
    assert_int_equal(fdset_lease(fake.vmm, new), 7);
    assert_true(is_open(old));
    assert_int_equal(fdset_close(fake.vmm, old), 0);
    assert_int_equal(fdset_close(fake.vmm, copy), 0);
    int other = open_lease(9); /* nothing was sent before this */
    assert_int_equal(fdset_close(fake.vmm, new), 0);
    expect_close(7);
    assert_int_equal(fdset_close(fake.vmm, other), 0);
    expect_close(9);
    end();
}

static void test_what_was_under_way_fails(void **state) {
    struct call call;
    begin_vmm(&eager);
    call_open(&call, "/dev/fdset/1", O_RDWR);
    fake_receive(REQUEST_IS(OPEN));
    fake_die();
    assert_int_equal(call_end(&call), -ECONNRESET);
    assert_string_equal(call.text, "fdset-helper has hung up or died");
    end();
}

static void test_attempts_until_one_works(void **state) {
    struct call call;
    begin_vmm(&eager);
    fake_die();
    call_open(&call, "/dev/fdset/1", O_RDWR);
    for (int i = 0; i < 3; i++) {
        accept_one();
        fake_die();
    }
    fake_error(accept_one()->serial, EPERM, "not yet");
    fake_die();
    accept_role(ROLE(VMM));
    fake_error(fake_receive(REQUEST_IS(OPEN))->serial, ENOENT, "no set");
    assert_int_equal(call_end(&call), -ENOENT);
    assert_string_equal(story, "DU");
    end();
}

static void test_giving_up(void **state) {
    struct call call;
    begin_vmm(&hopeless);
    stop_listening();
    fake_die();
    assert_int_equal(fdset_open(fake.vmm, "/dev/fdset/1", O_RDWR), -ECONNRESET);
    assert_string_equal(story, "DG");

    /* At once from now on, also with somebody there. */
    listen_again();
    assert_int_equal(fdset_open(fake.vmm, "/dev/fdset/1", O_RDWR), -ECONNRESET);
    assert_int_equal(fdset_vmm_dispatch(fake.vmm, -1), -ECONNRESET);
    assert_string_equal(story, "DG");

    /* Until it is told to try again. */
    assert_int_equal(fdset_vmm_set_reconnect(fake.vmm, &eager), 0);
    call_open(&call, "/dev/fdset/1", O_RDWR);
    accept_role(ROLE(VMM));
    fake_error(fake_receive(REQUEST_IS(OPEN))->serial, ENOENT, "no set");
    assert_int_equal(call_end(&call), -ENOENT);
    assert_string_equal(story, "DGDU");
    end();
}

/* Somebody takes the connection, and the Hello, and never says anything. */
static void test_a_helper_that_does_not_answer(void **state) {
    struct call call;
    begin_vmm(&hopeless);
    fake_die();
    call_open(&call, "/dev/fdset/1", O_RDWR);
    accept_one();
    assert_int_equal(call_end(&call), -ECONNRESET);
    assert_string_equal(story, "DG");
    end();
}

static void test_only_by_a_path_and_only_while_wanted(void **state) {
    fake_begin_vmm();
    assert_int_equal(fdset_vmm_set_reconnect(fake.vmm, &eager), -EOPNOTSUPP);
    fake_end();
    begin_vmm(&eager);
    assert_int_equal(fdset_vmm_set_reconnect(fake.vmm, NULL), 0);
    fake_die();
    assert_int_equal(fdset_open(fake.vmm, "/dev/fdset/1", O_RDWR), -ECONNRESET);
    assert_string_equal(story, "");
    end();
}

/* It would hang up on what it does not know, and the one before says nothing of that. */
static void test_what_the_new_helper_knows_counts(void **state) {
    Fdset__V1__Looked looked = FDSET__V1__LOOKED__INIT;
    Reply reply = FDSET__V1__REPLY__INIT;
    struct call call;
    begin_vmm(&eager);
    fake_die();
    call_look(&call, "/dev/fdset/1");
    fake_features = FEATURE_BIT(LOOK);
    accept_role(ROLE(VMM));
    fake_features = 0;
    reply.serial = fake_receive(REQUEST_IS(LOOK))->serial;
    reply.body_case = REPLY_IS(LOOKED);
    reply.looked = &looked;
    fake_reply(&reply, NULL, 0);
    assert_int_equal(call_end(&call), 0);

    fake_die();
    call_look(&call, "/dev/fdset/1");
    accept_role(ROLE(VMM));
    assert_int_equal(call_end(&call), -EOPNOTSUPP);
    assert_string_equal(story, "DUDU");
    end();
}

static int outcome;

static void note(struct fdset_vmm *vmm, int fd, void *context) {
    outcome = fd;
}

static void use_object(void *context, enum fdset_link link, const char *text) {
    assert_int_equal(fdset_open(fake.vmm, "/dev/fdset/1", O_RDWR), -EDEADLK);
    assert_int_equal(fdset_open_submit(fake.vmm, "/dev/fdset/1", O_RDWR, 0, note, NULL), -EDEADLK);
    assert_int_equal(fdset_vmm_dispatch(fake.vmm, 0), -EDEADLK);
    assert_int_equal(fdset_vmm_set_reconnect(fake.vmm, NULL), -EDEADLK);
    strcat(story, "x");
}

/* In this thread, where a failed check counts: the other one plays the helper. */
static void *run_helper(void *data) {
    accept_role(ROLE(VMM));
    fake_error(fake_receive(REQUEST_IS(OPEN))->serial, ENOENT, "no set");
    return NULL;
}

static void test_callback_that_uses_the_object(void **state) {
    struct fdset_reconnect reconnect = {.state = use_object};
    pthread_t helper;
    begin_vmm(&reconnect);
    /* Its outcome is there to be given out, but not in there. */
    outcome = 0;
    assert_int_equal(fdset_open_submit(fake.vmm, "/dev/fdset/1", O_RDWR, 0, note, NULL), 0);
    fake_die();
    assert_int_equal(pthread_create(&helper, NULL, run_helper, NULL), 0);
    assert_int_equal(fdset_open(fake.vmm, "/dev/fdset/1", O_RDWR), -ENOENT);
    assert_int_equal(pthread_join(helper, NULL), 0);
    assert_string_equal(story, "xx");
    assert_int_equal(outcome, 0);
    assert_int_equal(fdset_vmm_dispatch(fake.vmm, 0), 1);
    assert_int_equal(outcome, -ECONNRESET);
    end();
}

/* ------------------------------------------------------------------ dispatching */

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
        oracle_test(test_close_that_waits_is_for_the_old_helper),
        oracle_test(test_old_leases_are_not_told_to_the_new_helper),
        oracle_test(test_what_was_under_way_fails),
        oracle_test(test_attempts_until_one_works),
        oracle_test(test_what_the_new_helper_knows_counts),
        oracle_test(test_giving_up),
        oracle_test(test_a_helper_that_does_not_answer),
        oracle_test(test_only_by_a_path_and_only_while_wanted),
        oracle_test(test_callback_that_uses_the_object),
        oracle_test(test_event_loop),
        oracle_test(test_event_loop_and_a_helper_that_does_not_answer),
        oracle_test(test_what_was_unsent_fails),
        oracle_test(test_subscription_goes_on),
        oracle_test(test_subscription_goes_on_in_a_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* libfdset when its helper is restarted: the next call finds the new one, nothing
 * that the old one gave is told to it, and somebody hears of it all. */
#include "restart.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "feature.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        oracle_test(test_close_that_waits_is_for_the_old_helper),
        oracle_test(test_old_leases_are_not_told_to_the_new_helper),
        oracle_test(test_what_was_under_way_fails),
        oracle_test(test_attempts_until_one_works),
        oracle_test(test_giving_up),
        oracle_test(test_a_helper_that_does_not_answer),
        oracle_test(test_only_by_a_path_and_only_while_wanted),
        oracle_test(test_what_the_new_helper_knows_counts),
        oracle_test(test_callback_that_uses_the_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Sets with a time, which begins when the last lease is closed. Times are short, and what
 * must not have happened yet is told by the order of events, not by a clock. */
#include "idle.h"

#include <errno.h>

#define DISK "/dev/fdset/1"

static void test_a_set_that_nobody_opens(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber events = subscriber_of_ends(helper);
    struct new_member member = {.fd = file_open("disk", O_RDONLY)};
    struct new_set sets[] = {{1, LIFETIME(IDLE), &member, 1, .idle_ms = 50},
                             {2, LIFETIME(IDLE), &member, 1, .idle_ms = 1},
                             {3, LIFETIME(IDLE), &member, 1, .idle_ms = NEVER_MS}};
    assert_int_equal(client_add(helper->manager, sets, 3)->body_case, REPLY(ADDED));
    for (int set = 2; set >= 1; set--) {
        event_expect_of(&events, EVENT(REMOVED), set);
    }
    SetInfo *left = client_find_set(helper->manager, 3);
    assert_int_equal(left->lifetime, LIFETIME(IDLE));
    assert_int_equal(left->idle_ms, NEVER_MS);
    assert_true(left->expires_ms > 0 && left->expires_ms <= NEVER_MS);
    client_wait_settled(helper->manager);
    assert_held(helper, member.fd, 1);
}

static void test_the_time_begins_with_the_last_close(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber events = subscriber_of_ends(helper);
    struct opened one = open_in_time(helper);
    struct opened two = client_open(helper->vmm, DISK, O_RDONLY);
    assert_false(client_has_clock(helper, 1));
    let_time_pass(helper, &events);
    client_close(helper->vmm, &one);
    let_time_pass(helper, &events);
    assert_false(client_has_clock(helper, 1));
    client_close(helper->vmm, &two);
    expect_end(&events);
}

static void test_the_time_begins_with_the_vmms_end(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber events = subscriber_of_ends(helper);
    struct client *vmm = helper_connect(helper, ROLE(VMM), "second");
    struct opened mine = open_in_time(helper);
    client_add_one(helper->manager, 1, file_open("disk", O_RDONLY));
    assert_int_equal(client_open(vmm, DISK, O_RDONLY).code, 0);
    client_close(helper->vmm, &mine);
    let_time_pass(helper, &events);
    client_hang_up(vmm);
    expect_end(&events);
}

/* Used again before its time is over, it has all of it again. */
static void test_an_open_stops_the_time(void **state) {
    struct helper *helper = helper_start(NULL);
    add_idle(helper, 1, NEVER_MS);
    assert_true(client_has_clock(helper, 1));
    struct opened opened = client_open(helper->vmm, DISK, O_RDONLY);
    assert_false(client_has_clock(helper, 1));
    client_close(helper->vmm, &opened);
    client_barrier(helper->vmm);
    assert_true(client_has_clock(helper, 1));
    /* One that fails is no use of it. */
    assert_int_equal(client_open(helper->vmm, DISK, O_RDWR).code, CODE(MODE));
    assert_true(client_has_clock(helper, 1));
}

/* Nobody's end is its end: it has a time instead of a manager. */
static void test_idle_needs_no_manager(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber events = subscriber_of_ends(helper);
    struct client *manager = helper_connect(helper, ROLE(MANAGER), "short life");
    client_add_disk(manager, (struct new_set){1, LIFETIME(IDLE), .idle_ms = NEVER_MS});
    client_leave(helper, manager);
    event_expect_none(helper, &events);
    assert_false(client_find_set(helper->manager, 1)->orphaned);
    assert_int_equal(client_open(helper->vmm, DISK, O_RDONLY).code, 0);
}

/* What is added starts the time anew: the set is wanted. Nothing else lets what
 * is left of it grow; on a busy machine it may have to be looked at again. */
static void test_an_add_starts_the_time_anew(void **state) {
    struct helper *helper = helper_start(NULL);
    uint64_t before, after;
    add_idle(helper, 1, NEVER_MS);
    for (int i = 0; i < 50; i++) {
        before = client_find_set(helper->manager, 1)->expires_ms;
        after = client_find_set(helper->manager, 1)->expires_ms;
        assert_true(after <= before);
    }
    do {
        before = client_find_set(helper->manager, 1)->expires_ms;
        client_add_disk(helper->manager, (struct new_set){1});
        after = client_find_set(helper->manager, 1)->expires_ms;
    } while (after <= before && client_totals(helper->manager).members < 1000);
    assert_true(after > before);
}

static void test_idle_needs_a_time(void **state) {
    struct helper *helper = helper_start(NULL);
    struct new_member member = {.fd = file_open("disk", O_RDONLY)};
    client_add_refused(helper->manager, (struct new_set){1, LIFETIME(IDLE), &member, 1},
                       CODE(ARGUMENT), EINVAL);
    /* That of a set that exists is its own. */
    add_idle(helper, 1, NEVER_MS);
    client_add_new(helper->manager, (struct new_set){1, LIFETIME(IDLE), &member, 1});
    assert_int_equal(client_find_set(helper->manager, 1)->idle_ms, NEVER_MS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_a_set_that_nobody_opens),
        helper_test(test_the_time_begins_with_the_last_close),
        helper_test(test_the_time_begins_with_the_vmms_end),
        helper_test(test_an_open_stops_the_time),
        helper_test(test_idle_needs_no_manager),
        helper_test(test_an_add_starts_the_time_anew),
        helper_test(test_idle_needs_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

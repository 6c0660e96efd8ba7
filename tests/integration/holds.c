/* SPDX-License-Identifier: MIT */
/* Hold: a VMM keeps a set although it has nothing of it open. Times are short,
 * and what must not have happened yet is told by the order of events. */
#include "idle.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DISK "/dev/fdset/1"

static void hold(struct client *vmm, const char *path) {
    Reply *reply = client_hold(vmm, path);
    if (reply->body_case == REPLY(ERROR))
        fail_msg("not held: %s", reply->error->text);
    assert_int_equal(reply->body_case, REPLY(DONE));
}

static void unhold(struct client *vmm, const char *path) {
    assert_int_equal(client_unhold(vmm, path)->body_case, REPLY(DONE));
}

static void test_a_hold_stops_an_idle_sets_time(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber events = subscriber_of_ends(helper);
    struct opened opened = open_in_time(helper);
    hold(helper->vmm, DISK);
    client_close(helper->vmm, &opened);
    let_time_pass(helper, &events);
    assert_false(client_has_clock(helper, 1));
    unhold(helper->vmm, DISK);
    expect_end(&events);

    /* Also that of one which nobody has open, and which is running. */
    add_idle(helper, 3, NEVER_MS);
    assert_true(client_has_clock(helper, 3));
    hold(helper->vmm, "/dev/fdset/3");
    assert_false(client_has_clock(helper, 3));
    unhold(helper->vmm, "/dev/fdset/3");
    assert_true(client_has_clock(helper, 3));
}

static void test_a_hold_keeps_what_its_manager_left(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber events = subscriber_of_ends(helper);
    struct client *manager = helper_connect(helper, ROLE(MANAGER), "short life");
    client_add_disk(manager, (struct new_set){1, .name = "disk0"});
    hold(helper->vmm, "/dev/fdset/disk0");
    client_leave(helper, manager);
    assert_true(client_find_set(helper->manager, 1)->orphaned);
    struct opened opened = client_open(helper->vmm, DISK, O_RDONLY);
    assert_int_equal(opened.code, 0);
    client_close(helper->vmm, &opened);
    client_barrier(helper->vmm);
    client_wait_settled(helper->manager);
    event_expect_none(helper, &events);
    assert_int_equal(client_find_set(helper->manager, 1)->members[0]->state, MEMBER(LISTED));
    unhold(helper->vmm, DISK);
    expect_end(&events);
}

/* The end of a grace is no reason to take what is held. */
static void test_a_hold_outlives_a_grace(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber events = subscriber_of_ends(helper);
    struct client *manager = helper_connect(helper, ROLE(MANAGER), "short life");
    client_add_disk(manager, (struct new_set){1, .grace_ms = 1});
    hold(helper->vmm, DISK);
    client_leave(helper, manager);
    wait_until(client_find_set(helper->manager, 1)->orphaned);
    event_expect_none(helper, &events);
    unhold(helper->vmm, DISK);
    expect_end(&events);
}

/* One hold a VMM, however often it asks; and each VMM its own. */
static void test_who_holds(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *other = helper_connect(helper, ROLE(VMM), "other vm");
    client_add_disk(helper->manager, (struct new_set){1, LIFETIME(KEEP), .name = "disk0"});
    hold(helper->vmm, DISK);
    hold(helper->vmm, DISK);
    hold(helper->vmm, "/dev/fdset/disk0");
    assert_int_equal(client_find_set(helper->manager, 1)->holds, 1);
    hold(other, DISK);
    assert_int_equal(client_find_set(helper->manager, 1)->holds, 2);
    unhold(helper->vmm, "/dev/fdset/disk0");
    unhold(helper->vmm, DISK);
    assert_int_equal(client_find_set(helper->manager, 1)->holds, 1);
    assert_int_equal(client_totals(helper->manager).holds, 1);
    client_leave(helper, other);
    assert_int_equal(client_totals(helper->manager).holds, 0);
}

/* Remove takes the members all the same; the set is there for new ones. */
static void test_a_held_set_without_members(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber events = subscriber_of_ends(helper);
    client_add_disk(helper->manager, (struct new_set){1, LIFETIME(KEEP), .name = "disk0"});
    hold(helper->vmm, DISK);
    assert_int_equal(client_remove(helper->manager, 1, 0)->removed->members, 1);
    event_expect_of(&events, EVENT(REMOVED), 1);
    client_wait_settled(helper->manager);
    assert_int_equal(client_find_set(helper->manager, 1)->n_members, 0);
    assert_int_equal(client_open(helper->vmm, DISK, O_RDONLY).code, CODE(EMPTY_SET));
    client_add_disk(helper->manager, (struct new_set){SET_NEW, .name = "disk0"});
    struct opened opened = client_open(helper->vmm, DISK, O_RDONLY);
    assert_int_equal(opened.code, 0);
    client_close(helper->vmm, &opened);
    client_wait_idle(helper->manager);
    client_remove(helper->manager, 1, 0);
    event_expect_of(&events, EVENT(REMOVED), 1);
    client_wait_settled(helper->manager);
    unhold(helper->vmm, DISK);
}

/* A hold of a set for one open keeps the set, not a second open. */
static void test_a_hold_of_a_set_for_one_open(void **state) {
    struct helper *helper = helper_start(NULL);
    client_add_disk(helper->manager, (struct new_set){1, LIFETIME(ONCE)});
    hold(helper->vmm, DISK);
    struct opened opened = client_open(helper->vmm, DISK, O_RDONLY);
    assert_int_equal(opened.code, 0);
    client_close(helper->vmm, &opened);
    client_wait_idle(helper->manager);
    assert_int_equal(client_open(helper->vmm, DISK, O_RDONLY).code, CODE(EMPTY_SET));
    assert_int_equal(client_find_set(helper->manager, 1)->holds, 1);
    unhold(helper->vmm, DISK);
    assert_null(client_find_set(helper->manager, 1));
}

static void test_holds_of_what_is_not_there(void **state) {
    struct helper *helper = helper_start(NULL);
    client_add_disk(helper->manager, (struct new_set){1, LIFETIME(KEEP)});
    assert_refused(client_hold(helper->vmm, "/dev/fdset/2"), CODE(NO_SET), ENOENT);
    assert_refused(client_hold(helper->vmm, "/dev/fdset/disk0"), CODE(NO_SET), ENOENT);
    assert_refused(client_hold(helper->vmm, "/dev/fdset/01"), CODE(PATH), EINVAL);
    assert_refused(client_unhold(helper->vmm, "/etc/passwd"), CODE(PATH), EINVAL);
    unhold(helper->vmm, "/dev/fdset/2"); /* which is what was asked for */
    unhold(helper->vmm, DISK);
    assert_int_equal(client_totals(helper->manager).holds, 0);
}

static void test_so_many_holds(void **state) {
    struct helper *helper = helper_start((const char *[]){"--limit", "holds=3", NULL});
    struct client *other = helper_connect(helper, ROLE(VMM), "other vm");
    char path[32];
    for (int set = 0; set < 4; set++) {
        client_add_disk(helper->manager, (struct new_set){set, LIFETIME(KEEP)});
        snprintf(path, sizeof(path), "/dev/fdset/%d", set);
        if (set < 2)
            hold(helper->vmm, path);
    }
    /* One is kept for the other VM, and there are no more then. */
    assert_refused(client_hold(helper->vmm, path), CODE(LIMIT), ENFILE);
    hold(other, path);
    assert_refused(client_hold(other, "/dev/fdset/2"), CODE(LIMIT), ENFILE);
    hold(helper->vmm, DISK); /* again is no new one */
    unhold(helper->vmm, DISK);
    hold(other, "/dev/fdset/2");
    unhold(helper->vmm, "/dev/fdset/0");
    unhold(other, "/dev/fdset/2");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_a_hold_stops_an_idle_sets_time),
        helper_test(test_a_hold_keeps_what_its_manager_left),
        helper_test(test_a_hold_outlives_a_grace),
        helper_test(test_who_holds),
        helper_test(test_a_held_set_without_members),
        helper_test(test_a_hold_of_a_set_for_one_open),
        helper_test(test_holds_of_what_is_not_there),
        helper_test(test_so_many_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

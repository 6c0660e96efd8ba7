/* SPDX-License-Identifier: MIT */
/* Lifetimes beyond connection and keep: a grace for a manager that comes back,
 * sets for one open, and sets with a time. Times are short, and what must not
 * have happened yet is told by the order of events, not by a clock. */
#include "events.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DISK "/dev/fdset/1"

/* A set goes when its last member is closed, which may take a while: the order
 * in which lifetimes end is that of the removals. */
static const int ends[] = {EVENT(REMOVED)};

/* ------------------------------------------------------------------- grace */

/* The shorter the grace the sooner the end, however they were added. */
static void test_each_set_has_its_grace(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber events = subscriber_begin(helper, ends, 1);
    struct client *manager = helper_connect_owner(helper, "libvirtd", "libvirt");
    client_add_disk(manager, (struct new_set){1, .grace_ms = NEVER_MS});
    client_add_disk(manager, (struct new_set){2, .grace_ms = 50});
    client_add_disk(manager, (struct new_set){3, .grace_ms = 1});
    client_add_disk(manager, (struct new_set){4});
    client_leave(helper, manager);
    for (int set = 4; set >= 2; set--) {
        event_expect_of(&events, EVENT(REMOVED), set);
    }
    SetInfo *left = client_find_set(helper->manager, 1);
    assert_false(left->orphaned);
    assert_int_equal(left->grace_ms, NEVER_MS);
    assert_int_equal(left->clock_case, FDSET__V1__SET_INFO__CLOCK_EXPIRES_MS);
    assert_true(left->expires_ms > 0 && left->expires_ms <= NEVER_MS);
    client_wait_settled(helper->manager);
    assert_int_equal(client_totals(helper->manager).sets, 1);
}

/* In its grace a set is as any other; after it, it goes with its last lease. */
static void test_a_set_in_its_grace_is_open_to_all(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber events = subscriber_begin(helper, ends, 1);
    struct client *manager = helper_connect(helper, ROLE(MANAGER), "libvirtd");
    client_add_disk(manager, (struct new_set){1, .grace_ms = NEVER_MS});
    client_add_disk(manager, (struct new_set){2, .grace_ms = 1});
    struct opened kept = client_open(helper->vmm, "/dev/fdset/2", O_RDONLY);
    client_leave(helper, manager);
    struct opened opened = client_open(helper->vmm, DISK, O_RDONLY);
    assert_int_equal(opened.code, 0);
    client_close(helper->vmm, &opened);
    client_barrier(helper->vmm);
    assert_false(client_find_set(helper->manager, 1)->orphaned);

    wait_until(client_find_set(helper->manager, 2)->orphaned);
    assert_false(client_has_clock(helper, 2));
    event_expect_none(helper, &events);
    struct opened again = client_open(helper->vmm, "/dev/fdset/2", O_RDONLY);
    assert_int_equal(again.code, 0);
    client_close(helper->vmm, &kept);
    client_close(helper->vmm, &again);
    event_expect_of(&events, EVENT(REMOVED), 2);
}

/* Back within the grace, under its label: the sets are its own again, for as
 * long as it lives, and their grace begins anew with its next end. */
static void test_who_comes_back_has_its_sets(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *manager = helper_connect_owner(helper, "libvirtd", "libvirt");
    client_add_disk(manager, (struct new_set){1, .grace_ms = NEVER_MS});
    for (int round = 0; round < 3; round++) {
        SetInfo *set = client_find_set(helper->manager, 1);
        assert_string_equal(set->owner, "libvirt");
        assert_int_equal(set->owner_uid, geteuid());
        assert_false(client_has_clock(helper, 1));
        client_leave(helper, manager);
        assert_true(client_has_clock(helper, 1));
        manager = helper_connect_owner(helper, "libvirtd again", "libvirt");
    }
    assert_false(client_find_set(helper->manager, 1)->orphaned);
    client_leave(helper, manager);
    client_remove(helper->manager, 1, 0);
}

/* The sets of others stay others': those of another label, those of none, and
 * those of a manager that is there. */
static void test_nobody_has_anothers_sets(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *managers[] = {helper_connect_owner(helper, "one", "libvirt"),
                                 helper_connect_owner(helper, "two", "libvirt-2"),
                                 helper_connect_owner(helper, "three", "Libvirt"),
                                 helper_connect(helper, ROLE(MANAGER), "four")};
    for (int i = 0; i < 4; i++) {
        client_add_disk(managers[i], (struct new_set){i, .grace_ms = NEVER_MS});
        client_leave(helper, managers[i]);
    }
    struct client *libvirt = helper_connect_owner(helper, "again", "libvirt");
    struct client *nobody = helper_connect(helper, ROLE(MANAGER), "four again");
    assert_false(client_has_clock(helper, 0));
    for (int i = 1; i < 4; i++)
        assert_true(client_has_clock(helper, i));

    /* A second one under the label takes nothing from the first. */
    struct client *second = helper_connect_owner(helper, "second", "libvirt");
    client_leave(helper, second);
    assert_false(client_has_clock(helper, 0));
    client_leave(helper, libvirt);
    client_leave(helper, nobody);
}

#define STRANGER 54321

/* A manager of another user, where the helper lets one be. */
static struct client *connect_stranger(struct helper *helper, const char *owner) {
    assert_int_equal(seteuid(STRANGER), 0);
    struct client *client = helper_connect_owner(helper, "stranger", owner);
    assert_int_equal(seteuid(0), 0);
    return client;
}

static void test_a_label_is_one_users(void **state) {
    if (geteuid() != 0)
        skip();
    struct helper *helper = helper_start((const char *[]){"--manager-uid", "54321", NULL});
    assert_int_equal(chmod(helper_socket_path(ROLE(MANAGER)), 0666), 0);
    assert_int_equal(chmod(file_path("."), 0755), 0);
    struct client *root = helper_connect_owner(helper, "libvirtd", "libvirt");
    client_add_disk(root, (struct new_set){1, .grace_ms = NEVER_MS});
    client_leave(helper, root);

    struct client *stranger = connect_stranger(helper, "libvirt");
    assert_true(client_has_clock(helper, 1));
    assert_int_equal(client_find_set(helper->manager, 1)->owner_uid, 0);
    client_add_disk(stranger, (struct new_set){2, .grace_ms = NEVER_MS});
    assert_int_equal(client_find_set(helper->manager, 2)->owner_uid, STRANGER);
    client_leave(helper, stranger);

    root = helper_connect_owner(helper, "libvirtd", "libvirt");
    assert_false(client_has_clock(helper, 1));
    assert_true(client_has_clock(helper, 2));
    stranger = connect_stranger(helper, "libvirt");
    assert_false(client_has_clock(helper, 2));
    client_leave(helper, stranger);
    client_leave(helper, root);
}

/* Adding is taking over, for any manager: somebody must answer for it. */
static void test_adding_to_a_set_in_its_grace(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *first = helper_connect_owner(helper, "first", "alpha");
    struct client *second = helper_connect_owner(helper, "second", "beta");
    client_add_disk(first, (struct new_set){1, .grace_ms = NEVER_MS});
    client_leave(helper, first);
    client_add_disk(second, (struct new_set){1});
    assert_false(client_has_clock(helper, 1));
    assert_string_equal(client_find_set(helper->manager, 1)->owner, "beta");
    client_leave(helper, second);
    assert_true(client_has_clock(helper, 1));
}

/* Those of other lifetimes need no manager, and are found by their owner. */
static void test_found_again_by_owner(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *manager = helper_connect_owner(helper, "libvirtd", "libvirt");
    Query query = FDSET__V1__QUERY__INIT;
    query.owner = (char *)"libvirt";
    client_add_disk(manager, (struct new_set){1, LIFETIME(KEEP)});
    client_add_disk(manager, (struct new_set){2, LIFETIME(IDLE), .idle_ms = NEVER_MS});
    client_add_disk(helper->manager, (struct new_set){3, LIFETIME(KEEP)});
    client_leave(helper, manager);
    QueryReply *page = client_query_with(helper->manager, &query);
    assert_int_equal(page->n_sets, 2);
    assert_int_equal(page->sets[0]->set, 1);
    assert_int_equal(page->sets[1]->set, 2);
    query.owner = (char *)"libvirt-2";
    assert_int_equal(client_query_with(helper->manager, &query)->n_sets, 0);
}

/* ---------------------------------------------------- once: sets for one open */

static void test_the_first_open_uses_it_up(void **state) {
    struct helper *helper = helper_start(NULL);
    uint32_t member =
        client_add_disk(helper->manager, (struct new_set){1, LIFETIME(ONCE), .name = "fd0"});
    struct opened opened = client_open(helper->vmm, "/dev/fdset/fd0", O_RDONLY);
    assert_int_equal(opened.member, member);
    struct opened second = client_open(helper->vmm, DISK, O_RDONLY);
    assert_int_equal(second.code, CODE(EMPTY_SET));
    assert_non_null(strstr(second.text, "one open"));
    SetInfo *set = client_find_set(helper->manager, 1);
    assert_int_equal(set->lifetime, LIFETIME(ONCE));
    assert_int_equal(set->n_members, 1);
    assert_int_equal(set->members[0]->state, MEMBER(REMOVED));
    client_close(helper->vmm, &opened);
    wait_until(!client_find_set(helper->manager, 1));
    assert_int_equal(client_open(helper->vmm, DISK, O_RDONLY).code, CODE(NO_SET));
}

/* All members go, also those that the open was not served from. */
static void test_all_members_go_with_the_open(void **state) {
    struct helper *helper = helper_start(NULL);
    int reading = file_open("disk", O_RDONLY), writing = file_open("disk", O_RDWR);
    struct new_member members[] = {{.fd = reading}, {.fd = writing}};
    client_add_set(helper->manager, 1, LIFETIME(ONCE), members, 2);
    assert_serves(client_open(helper->vmm, DISK, O_RDWR).fd, writing, O_RDWR);
    client_barrier(helper->vmm);
    client_wait_settled(helper->manager);
    assert_held(helper, writing, 1);
    assert_int_equal(client_open(helper->vmm, DISK, O_RDONLY).code, CODE(EMPTY_SET));
}

static void test_an_open_that_fails_leaves_it(void **state) {
    struct helper *helper = helper_start(NULL);
    int null = harness_keep(open("/dev/null", O_RDWR | O_CLOEXEC));
    struct new_member member = {.fd = null};
    client_add_set(helper->manager, 1, LIFETIME(ONCE), &member, 1);
    struct wanted wanted[] = {{DISK, O_RDONLY}, {DISK, O_RDWR | O_DIRECT}, {DISK, O_RDWR | O_SYNC}};
    struct opened results[3];
    for (int round = 0; round < 3; round++) {
        client_open_many(helper->vmm, wanted, 3, results);
        assert_int_equal(results[0].code, CODE(MODE));
        assert_int_equal(results[1].code, CODE(FLAGS));
        assert_int_equal(results[2].code, CODE(SYNC));
        client_wait_settled(helper->manager);
    }
    assert_int_equal(client_open(helper->vmm, DISK, O_RDWR).code, 0);
}

static void test_of_many_opens_one_succeeds(void **state) {
    struct helper *helper = helper_start(NULL);
    struct wanted wanted[] = {{DISK, O_RDWR}, {DISK, O_RDONLY}, {DISK, O_RDONLY}};
    struct opened results[3];
    client_add_disk(helper->manager, (struct new_set){1, LIFETIME(ONCE)});
    client_open_many(helper->vmm, wanted, 3, results);
    assert_int_equal(results[0].code, CODE(MODE));
    assert_int_equal(results[1].code, 0);
    assert_int_equal(results[2].code, CODE(EMPTY_SET));
}

/* Used up, it can be filled again: for one open more. */
static void test_filled_again(void **state) {
    struct helper *helper = helper_start(NULL);
    for (int round = 0; round < 3; round++) {
        uint32_t member = client_add_disk(helper->manager, (struct new_set){1, LIFETIME(ONCE)});
        assert_int_equal(client_open(helper->vmm, DISK, O_RDONLY).member, member);
        assert_int_equal(client_open(helper->vmm, DISK, O_RDONLY).code, CODE(EMPTY_SET));
    }
}

/* A manager that dies before the open takes it along; after a grace, if it has one. */
static void test_it_ends_with_its_manager(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber events = subscriber_begin(helper, ends, 1);
    struct client *manager = helper_connect_owner(helper, "libvirtd", "libvirt");
    client_add_disk(manager, (struct new_set){1, LIFETIME(ONCE), .grace_ms = 1});
    client_add_disk(manager, (struct new_set){2, LIFETIME(ONCE)});
    client_add_disk(manager, (struct new_set){3, LIFETIME(ONCE), .grace_ms = NEVER_MS});
    client_leave(helper, manager);
    event_expect_of(&events, EVENT(REMOVED), 2);
    event_expect_of(&events, EVENT(REMOVED), 1);
    manager = helper_connect_owner(helper, "libvirtd", "libvirt");
    assert_false(client_has_clock(helper, 3));
    client_leave(helper, manager);
    assert_int_equal(client_open(helper->vmm, "/dev/fdset/3", O_RDONLY).code, 0);
}

/* ----------------------------------------------------- idle: sets with a time */

static void add_idle(struct helper *helper, int set, uint32_t idle_ms) {
    client_add_disk(helper->manager, (struct new_set){set, LIFETIME(IDLE), .idle_ms = idle_ms});
}

static void test_a_set_that_nobody_opens(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber events = subscriber_begin(helper, ends, 1);
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

/* An open of set 1, with 1 ms to live, that is certain to come in time: it is
 * there before the set. */
static struct opened open_in_time(struct helper *helper) {
    uint32_t serial = client_begin_open(helper->vmm, DISK, O_RDONLY, WAIT_FOREVER_MS);
    add_idle(helper, 1, 1);
    struct opened opened = client_opened(helper->vmm, serial);
    assert_int_equal(opened.code, 0);
    return opened;
}

/* A whole life of another set with 1 ms, in which set 1 could have ended. */
static void let_time_pass(struct helper *helper, struct subscriber *events) {
    add_idle(helper, 2, 1);
    event_expect_of(events, EVENT(REMOVED), 2);
}

static void expect_end(struct subscriber *events) {
    event_expect_of(events, EVENT(REMOVED), 1);
}

static void test_the_time_begins_with_the_last_close(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber events = subscriber_begin(helper, ends, 1);
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
    struct subscriber events = subscriber_begin(helper, ends, 1);
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
    struct subscriber events = subscriber_begin(helper, ends, 1);
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
        helper_test(test_each_set_has_its_grace),
        helper_test(test_a_set_in_its_grace_is_open_to_all),
        helper_test(test_who_comes_back_has_its_sets),
        helper_test(test_nobody_has_anothers_sets),
        helper_test(test_a_label_is_one_users),
        helper_test(test_adding_to_a_set_in_its_grace),
        helper_test(test_found_again_by_owner),
        helper_test(test_the_first_open_uses_it_up),
        helper_test(test_all_members_go_with_the_open),
        helper_test(test_an_open_that_fails_leaves_it),
        helper_test(test_of_many_opens_one_succeeds),
        helper_test(test_filled_again),
        helper_test(test_it_ends_with_its_manager),
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

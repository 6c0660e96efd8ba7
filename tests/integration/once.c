/* SPDX-License-Identifier: MIT */
/* Sets for one open: it uses them up. */
#include "events.h"

#include <errno.h>
#include <string.h>

#define DISK "/dev/fdset/1"

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
    struct subscriber events = subscriber_of_ends(helper);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_the_first_open_uses_it_up),
        helper_test(test_all_members_go_with_the_open),
        helper_test(test_an_open_that_fails_leaves_it),
        helper_test(test_of_many_opens_one_succeeds),
        helper_test(test_filled_again),
        helper_test(test_it_ends_with_its_manager),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Lifetimes beyond connection and keep: a grace for a manager that comes back. Times are
 * short, and what must not have happened yet is told by the order of events, not by a
 * clock. */
#include "events.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define DISK "/dev/fdset/1"

/* The shorter the grace the sooner the end, however they were added. */
static void test_each_set_has_its_grace(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber events = subscriber_of_ends(helper);
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
    struct subscriber events = subscriber_of_ends(helper);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_each_set_has_its_grace),
        helper_test(test_a_set_in_its_grace_is_open_to_all),
        helper_test(test_who_comes_back_has_its_sets),
        helper_test(test_nobody_has_anothers_sets),
        helper_test(test_a_label_is_one_users),
        helper_test(test_adding_to_a_set_in_its_grace),
        helper_test(test_found_again_by_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* How long members stay: with their manager's connection, or until they are removed. */
#include "harness.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static struct client *connect_manager(struct helper *helper) {
    return helper_connect(helper, ROLE(MANAGER), "second manager");
}

static void hang_up_and_wait(struct helper *helper, struct client *client) {
    unsigned connections = client_totals(helper->manager).connections;
    client_hang_up(client);
    while (client_totals(helper->manager).connections == connections)
        ;
    client_wait_settled(helper->manager);
}

static void add_with(struct client *manager, int set, int lifetime, int fd) {
    struct new_member member = {.fd = fd};
    client_add_set(manager, set, lifetime, &member, 1);
}

static void test_connection_is_the_default(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *manager = connect_manager(helper);
    int disk = file_open("disk", O_RDWR);
    add_with(manager, 1, LIFETIME(UNSPECIFIED), disk);
    assert_int_equal(client_query(manager, 1, NULL)->sets[0]->lifetime, LIFETIME(CONNECTION));
    hang_up_and_wait(helper, manager);
    client_wait_idle(helper->manager);
    assert_int_equal(client_open_set(helper->vmm, 1, O_RDWR).code, CODE(NO_SET));
    assert_held(helper, disk, 0);
}

static void test_keep_stays(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *manager = connect_manager(helper);
    int disk = file_open("disk", O_RDWR);
    add_with(manager, 1, LIFETIME(KEEP), disk);
    hang_up_and_wait(helper, manager);
    SetInfo *set = client_query(helper->manager, 1, NULL)->sets[0];
    assert_int_equal(set->lifetime, LIFETIME(KEEP));
    assert_false(set->orphaned);
    assert_serves(client_open_set(helper->vmm, 1, O_RDWR).fd, disk, O_RDWR);
}

/* Used members stay, can be opened again, and go with their last lease; unused
 * ones go at once. */
static void test_orphaned_set(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *manager = connect_manager(helper);
    int used = file_open("disk", O_RDWR), unused = file_open("disk", O_RDONLY);
    add_with(manager, 1, LIFETIME(CONNECTION), unused);
    add_with(manager, 1, LIFETIME(CONNECTION), used);
    struct opened one = client_open_set(helper->vmm, 1, O_RDWR);
    assert_serves(one.fd, used, O_RDWR);
    hang_up_and_wait(helper, manager);

    SetInfo *set = client_query(helper->manager, 1, NULL)->sets[0];
    assert_true(set->orphaned);
    assert_int_equal(set->n_members, 1);
    assert_int_equal(set->members[0]->member, one.member);
    assert_int_equal(client_open_set(helper->vmm, 1, O_RDONLY).code, CODE(MODE));
    struct opened two = client_open_set(helper->vmm, 1, O_RDWR);
    assert_serves(two.fd, used, O_RDWR);

    client_close(helper->vmm, &one);
    client_barrier(helper->vmm);
    assert_int_equal(client_totals(helper->manager).sets, 1);
    client_close(helper->vmm, &two);
    client_wait_idle(helper->manager);
    assert_int_equal(client_totals(helper->manager).sets, 0);
    assert_held(helper, used, 0);
}

/* The VMM's end instead of its Close. */
static void test_orphaned_set_of_a_vmm_that_ends(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *manager = connect_manager(helper);
    struct client *vmm = helper_connect(helper, ROLE(VMM), "second vmm");
    int disk = file_open("disk", O_RDWR);
    add_with(manager, 1, LIFETIME(CONNECTION), disk);
    client_open_set(vmm, 1, O_RDWR);
    hang_up_and_wait(helper, manager);
    hang_up_and_wait(helper, vmm);
    client_wait_idle(helper->manager);
    assert_int_equal(client_totals(helper->manager).sets, 0);
    assert_held(helper, disk, 0);
}

static void test_only_its_own_sets_go(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *manager = connect_manager(helper);
    int disk = file_open("disk", O_RDWR);
    add_with(helper->manager, 1, LIFETIME(CONNECTION), disk);
    add_with(manager, 2, LIFETIME(CONNECTION), disk);
    /* What a second manager puts into another's set goes with the set. */
    add_with(manager, 1, LIFETIME(UNSPECIFIED), file_open("disk", O_RDONLY));
    hang_up_and_wait(helper, manager);
    QueryReply *page = client_query(helper->manager, SET_ALL, NULL);
    assert_int_equal(page->n_sets, 1);
    assert_int_equal(page->sets[0]->set, 1);
    assert_int_equal(page->sets[0]->n_members, 2);
}

static void test_lifetime_is_the_sets(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR);
    struct new_member member = {.fd = disk};
    struct new_set other = {1, LIFETIME(CONNECTION), &member, 1};
    add_with(helper->manager, 1, LIFETIME(KEEP), disk);
    assert_refused(client_add(helper->manager, &other, 1), CODE(LIFETIME), EINVAL);
    add_with(helper->manager, 1, LIFETIME(KEEP), disk);
    add_with(helper->manager, 1, LIFETIME(UNSPECIFIED), disk);
    other.lifetime = 99;
    assert_refused(client_add(helper->manager, &other, 1), CODE(ARGUMENT), EINVAL);
    other.set = 2;
    assert_refused(client_add(helper->manager, &other, 1), CODE(ARGUMENT), EINVAL);
    assert_int_equal(client_totals(helper->manager).members, 3);
}

/* A manager that adds to an orphaned set has it as its own. */
static void test_a_manager_removes_what_another_has_added(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *manager = connect_manager(helper);
    add_with(manager, 1, LIFETIME(KEEP), file_open("disk", O_RDWR));
    assert_int_equal(client_remove(helper->manager, 1, 0)->body_case, REPLY(REMOVED));
    assert_int_equal(client_open_set(helper->vmm, 1, O_RDWR).fd, -1);
    hang_up_and_wait(helper, manager);
}

static void test_orphan_is_adopted(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *manager = connect_manager(helper), *next = connect_manager(helper);
    int disk = file_open("disk", O_RDWR), more = file_open("disk", O_RDONLY);
    add_with(manager, 1, LIFETIME(CONNECTION), disk);
    struct opened opened = client_open_set(helper->vmm, 1, O_RDWR);
    hang_up_and_wait(helper, manager);
    add_with(next, 1, LIFETIME(UNSPECIFIED), more);
    assert_false(client_query(helper->manager, 1, NULL)->sets[0]->orphaned);
    client_close(helper->vmm, &opened);
    client_wait_idle(helper->manager);
    assert_serves(client_open_set(helper->vmm, 1, O_RDONLY).fd, more, O_RDONLY);
    hang_up_and_wait(helper, next);
}

/* SHUT_WR is an end too: nothing more can come from there. */
static void test_half_closed_manager(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *manager = connect_manager(helper);
    add_with(manager, 1, LIFETIME(CONNECTION), file_open("disk", O_RDWR));
    assert_int_equal(shutdown(manager->socket, SHUT_WR), 0);
    assert_hung_up(manager);
    client_wait_idle(helper->manager);
    assert_int_equal(client_totals(helper->manager).sets, 0);
}

/* Every test counts the helper's descriptors before and after, where it may look:
 * only root may. Where not, this says so. */
static void test_descriptors_are_counted(void **state) {
    struct helper *helper = helper_start(NULL);
    if (helper->descriptors < 0)
        skip();
    int disk = file_open("disk", O_RDWR);
    client_add_one(helper->manager, 1, disk);
    assert_int_equal(helper_descriptors(helper), helper->descriptors + 1);
    assert_held(helper, disk, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_descriptors_are_counted),
        helper_test(test_connection_is_the_default),
        helper_test(test_keep_stays),
        helper_test(test_orphaned_set),
        helper_test(test_orphaned_set_of_a_vmm_that_ends),
        helper_test(test_only_its_own_sets_go),
        helper_test(test_lifetime_is_the_sets),
        helper_test(test_a_manager_removes_what_another_has_added),
        helper_test(test_orphan_is_adopted),
        helper_test(test_half_closed_manager),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Sets by name, replacing, mixed sets, and the lifetimes beside connection and keep. */
#include "harness.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Adds one member as `set` says, but for its members. */
static Reply *add_as(struct client *manager, struct new_set set, int fd) {
    struct new_member member = {.fd = fd};
    set.members = &member;
    set.count = 1;
    return client_add(manager, &set, 1);
}

static void assert_added(Reply *reply) {
    if (reply->body_case == REPLY(ERROR))
        fail_msg("add refused: %s", reply->error->text);
    assert_int_equal(reply->body_case, REPLY(ADDED));
}

static void test_name_beside_the_id(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR);
    assert_added(add_as(helper->manager, (struct new_set){.set = 5, .name = "disk0"}, disk));
    assert_serves(client_open(helper->vmm, "/dev/fdset/disk0", O_RDWR).fd, disk, O_RDWR);
    assert_serves(client_open(helper->vmm, "/dev/fdset/5", O_RDWR).fd, disk, O_RDWR);
    assert_int_equal(client_open(helper->vmm, "/dev/fdset/disk", O_RDWR).code, CODE(NO_SET));
    assert_int_equal(client_open(helper->vmm, "/dev/fdset/disk00", O_RDWR).code, CODE(NO_SET));
    assert_string_equal(client_query(helper->manager, 5, NULL)->sets[0]->name, "disk0");

    /* By its name alone it is the same set. */
    int more = file_open("disk", O_RDONLY);
    Reply *reply = add_as(helper->manager, (struct new_set){.set = SET_NEW, .name = "disk0"}, more);
    assert_added(reply);
    assert_int_equal(reply->added->sets[0]->set, 5);
}

static void test_names_that_are_none(void **state) {
    char longest[65];
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR);
    memset(longest, 'n', 64);
    longest[64] = '\0';
    const char *wrong[] = {"0disk",  "-disk",     ".disk", "disk 0",
                           "disk/0", "d\xc3\xa9", "d\n",   longest};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_refused(
            add_as(helper->manager, (struct new_set){.set = SET_NEW, .name = wrong[i]}, disk),
            CODE(NAME), EINVAL);
    longest[63] = '\0';
    assert_added(add_as(helper->manager, (struct new_set){.set = SET_NEW, .name = longest}, disk));
}

static void test_name_is_one_sets(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR);
    assert_added(add_as(helper->manager, (struct new_set){.set = 1, .name = "a"}, disk));
    assert_refused(add_as(helper->manager, (struct new_set){.set = 2, .name = "a"}, disk),
                   CODE(NAME), EEXIST);
    assert_refused(add_as(helper->manager, (struct new_set){.set = 1, .name = "b"}, disk),
                   CODE(NAME), EEXIST);
    client_remove(helper->manager, 1, 0);
    client_wait_settled(helper->manager);
    assert_added(add_as(helper->manager, (struct new_set){.set = 2, .name = "a"}, disk));
}

static void test_replace(void **state) {
    struct helper *helper = helper_start(NULL);
    int old = file_open("disk", O_RDWR), new = file_open("other", O_RDWR);
    struct new_set set = {.set = 1, .replace = true};
    assert_added(add_as(helper->manager, set, old));
    struct opened before = client_open_set(helper->vmm, 1, O_RDWR);
    assert_added(add_as(helper->manager, set, new));
    assert_serves(client_open_set(helper->vmm, 1, O_RDWR).fd, new, O_RDWR);
    assert_serves(before.fd, old, O_RDWR);
    client_close(helper->vmm, &before);
    client_barrier(helper->vmm);
    client_wait_settled(helper->manager);
    assert_held(helper, old, 0);
    assert_held(helper, new, 1);
}

static void test_replace_that_fails_changes_nothing(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR);
    int bad = harness_keep(open(file_path("disk"), O_PATH | O_CLOEXEC));
    client_add_one(helper->manager, 1, disk);
    assert_refused(add_as(helper->manager, (struct new_set){.set = 1, .replace = true}, bad),
                   CODE(BAD_FD), EBADF);
    assert_serves(client_open_set(helper->vmm, 1, O_RDWR).fd, disk, O_RDWR);
}

static void test_mixed_set(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR), log = file_open("log", O_WRONLY);
    assert_added(add_as(helper->manager, (struct new_set){.set = 1, .mixed = true}, disk));
    assert_added(add_as(helper->manager, (struct new_set){.set = 1}, log));
    assert_serves(client_open_set(helper->vmm, 1, O_RDWR).fd, disk, O_RDWR);
    assert_serves(client_open_set(helper->vmm, 1, O_WRONLY).fd, log, O_WRONLY);
}

static void test_socket_where_allowed(void **state) {
    struct helper *helper = helper_start(NULL);
    int sockets[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    struct new_member member = {.fd = harness_keep(sockets[0]), .allow_socket = true};
    client_add_set(helper->manager, 1, 0, &member, 1);
    struct opened opened = client_open_set(helper->vmm, 1, O_RDWR);
    assert_true(opened.fd >= 0);
    assert_int_equal(write(opened.fd, "x", 1), 1);
    char byte = 0;
    assert_int_equal(read(harness_keep(sockets[1]), &byte, 1), 1);
    assert_int_equal(byte, 'x');
}

/* ---------------------------------------------------------------- lifetimes */

static void test_once(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR);
    assert_added(
        add_as(helper->manager, (struct new_set){.set = 1, .lifetime = LIFETIME(ONCE)}, disk));
    assert_int_equal(client_open_set(helper->vmm, 1, O_RDONLY).code, CODE(MODE));
    struct opened opened = client_open_set(helper->vmm, 1, O_RDWR);
    assert_serves(opened.fd, disk, O_RDWR);
    assert_int_equal(client_open_set(helper->vmm, 1, O_RDWR).code, CODE(EMPTY_SET));
    client_close(helper->vmm, &opened);
    client_wait_idle(helper->manager);
    assert_int_equal(client_totals(helper->manager).sets, 0);
    assert_held(helper, disk, 0);
}

static void wait_for_sets(struct helper *helper, unsigned count) {
    while (client_totals(helper->manager).sets != count)
        ;
}

static void test_idle(void **state) {
    struct helper *helper = helper_start(NULL);
    struct new_set set = {.set = 1, .lifetime = LIFETIME(IDLE), .idle_ms = 20};
    int disk = file_open("disk", O_RDWR);
    assert_added(add_as(helper->manager, set, disk));
    wait_for_sets(helper, 0);

    /* Not while it is open or held. The other set's end shows that time has passed. */
    set.set = 2;
    set.idle_ms = 200;
    assert_added(add_as(helper->manager, set, disk));
    struct opened opened = client_open_set(helper->vmm, 2, O_RDWR);
    assert_int_equal(opened.code, 0);
    assert_int_equal(client_hold(helper->vmm, "/dev/fdset/2")->body_case, REPLY(DONE));
    set.set = 3;
    assert_added(add_as(helper->manager, set, disk));
    wait_for_sets(helper, 1);
    client_close(helper->vmm, &opened);
    client_barrier(helper->vmm);
    set.set = 4;
    assert_added(add_as(helper->manager, set, disk));
    wait_for_sets(helper, 1);
    assert_int_equal(client_query(helper->manager, 2, NULL)->sets[0]->holds, 1);
    assert_int_equal(client_unhold(helper->vmm, "/dev/fdset/2")->body_case, REPLY(DONE));
    wait_for_sets(helper, 0);
    assert_held(helper, disk, 0);
}

static struct client *connect_owner(struct helper *helper, const char *owner) {
    struct client *manager = helper_connect_silent(helper, ROLE(MANAGER));
    assert_int_equal(client_hello_as(manager, "owner", owner)->hello->role, ROLE(MANAGER));
    return manager;
}

static void hang_up_and_wait(struct helper *helper, struct client *client) {
    unsigned connections = client_totals(helper->manager).connections;
    client_hang_up(client);
    while (client_totals(helper->manager).connections == connections)
        ;
}

/* A manager that comes back within the grace has its sets again; another has not. */
static void test_grace_and_owner(void **state) {
    struct helper *helper = helper_start(NULL);
    struct new_set set = {.set = 1, .grace_ms = 3600000};
    int disk = file_open("disk", O_RDWR);
    struct client *first = connect_owner(helper, "libvirt");
    assert_added(add_as(first, set, disk));
    hang_up_and_wait(helper, first);
    SetInfo *info = client_query(helper->manager, 1, NULL)->sets[0];
    assert_string_equal(info->owner, "libvirt");
    assert_int_equal(info->clock_case, FDSET__V1__SET_INFO__CLOCK_EXPIRES_MS);

    hang_up_and_wait(helper, connect_owner(helper, "another"));
    struct client *again = connect_owner(helper, "libvirt");
    info = client_query(helper->manager, 1, NULL)->sets[0];
    assert_int_equal(info->clock_case, FDSET__V1__SET_INFO__CLOCK__NOT_SET);
    assert_false(info->orphaned);
    assert_serves(client_open_set(helper->vmm, 1, O_RDWR).fd, disk, O_RDWR);
    client_hang_up(again);
}

static void test_grace_runs_out(void **state) {
    struct helper *helper = helper_start(NULL);
    struct new_set set = {.set = 1, .grace_ms = 20};
    int disk = file_open("disk", O_RDWR);
    struct client *manager = connect_owner(helper, "libvirt");
    assert_added(add_as(manager, set, disk));
    client_hang_up(manager);
    wait_for_sets(helper, 0);
    client_wait_settled(helper->manager);
    assert_held(helper, disk, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_name_beside_the_id),
        helper_test(test_names_that_are_none),
        helper_test(test_name_is_one_sets),
        helper_test(test_replace),
        helper_test(test_replace_that_fails_changes_nothing),
        helper_test(test_mixed_set),
        helper_test(test_socket_where_allowed),
        helper_test(test_once),
        helper_test(test_idle),
        helper_test(test_grace_and_owner),
        helper_test(test_grace_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

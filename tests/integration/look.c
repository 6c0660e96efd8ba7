/* SPDX-License-Identifier: MIT */
/* Look: what a set is, without opening it. A question changes nothing and is in
 * nobody's way. */
#include "events.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define DISK "/dev/fdset/1"

#define READ  (1u << O_RDONLY)
#define WRITE (1u << O_WRONLY)
#define BOTH  (1u << O_RDWR)

static Fdset__V1__Looked *look(struct client *client, const char *path) {
    Reply *reply = client_look(client, path);
    if (reply->body_case == REPLY(ERROR))
        fail_msg("not looked at: %s", reply->error->text);
    assert_int_equal(reply->body_case, REPLY(LOOKED));
    return reply->looked;
}

static int64_t nanoseconds(struct timespec time) {
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void assert_is_stat_of(const Fdset__V1__Looked *looked, int fd) {
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(looked->mode, status.st_mode);
    assert_int_equal(looked->device, status.st_dev);
    assert_int_equal(looked->inode, status.st_ino);
    assert_int_equal(looked->device_number, status.st_rdev);
    assert_int_equal(looked->links, status.st_nlink);
    assert_int_equal(looked->uid, status.st_uid);
    assert_int_equal(looked->gid, status.st_gid);
    assert_int_equal(looked->size, status.st_size);
    assert_int_equal(looked->blocks, status.st_blocks);
    assert_int_equal(looked->block_size, status.st_blksize);
    assert_int_equal(looked->accessed_ns, nanoseconds(status.st_atim));
    assert_int_equal(looked->modified_ns, nanoseconds(status.st_mtim));
    assert_int_equal(looked->changed_ns, nanoseconds(status.st_ctim));
}

static void test_it_is_what_stat_says(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR);
    assert_int_equal(ftruncate(disk, 12345), 0);
    assert_int_equal(fchmod(disk, 0640), 0);
    client_add_new(helper->manager,
                   (struct new_set){1, LIFETIME(KEEP), &(struct new_member){disk}, 1, "disk0"});
    assert_is_stat_of(look(helper->vmm, DISK), disk);
    assert_is_stat_of(look(helper->vmm, "/dev/fdset/disk0"), disk);

    /* Before 1970, after 2262, and a size that the manager has changed since. */
    const struct timespec times[] = {{-1, 5}, {10000000000, 0}};
    assert_int_equal(futimens(disk, times), 0);
    assert_int_equal(ftruncate(disk, 99), 0);
    assert_int_equal(futimens(disk, times), 0);
    Fdset__V1__Looked *looked = look(helper->vmm, DISK);
    assert_int_equal(looked->size, 99);
    assert_int_equal(looked->accessed_ns, -999999995);
    assert_int_equal(looked->modified_ns, INT64_MAX);

    int null = harness_keep(open("/dev/null", O_RDWR | O_CLOEXEC));
    client_add_one(helper->manager, 2, null);
    looked = look(helper->vmm, "/dev/fdset/2");
    assert_is_stat_of(looked, null);
    assert_int_equal(looked->device_number, makedev(1, 3));
}

static void test_modes_are_those_of_all_members(void **state) {
    struct helper *helper = helper_start(NULL);
    uint32_t added[3];
    static const int flags[] = {O_RDONLY, O_WRONLY, O_RDWR};
    static const unsigned modes[] = {READ, READ | WRITE, READ | WRITE | BOTH};
    for (int i = 0; i < 3; i++) {
        added[i] = client_add_one(helper->manager, 1, file_open("disk", flags[i]));
        assert_int_equal(look(helper->vmm, DISK)->modes, modes[i]);
    }
    client_remove(helper->manager, 1, added[0]);
    client_wait_settled(helper->manager);
    assert_int_equal(look(helper->vmm, DISK)->modes, WRITE | BOTH);

    struct new_member serves = {.fd = file_open("disk", O_RDWR), .serves_read_only = true};
    client_add_set(helper->manager, 2, LIFETIME(KEEP), &serves, 1);
    assert_int_equal(look(helper->vmm, "/dev/fdset/2")->modes, READ | BOTH);
}

/* The newest member's, of a set that has members of several files. */
static void test_a_mixed_set(void **state) {
    struct helper *helper = helper_start(NULL);
    struct new_member members[] = {{file_open("one", O_RDWR)}, {file_open("other", O_RDONLY)}};
    client_add_new(helper->manager, (struct new_set){1, LIFETIME(KEEP), members, 2, .mixed = true});
    assert_is_stat_of(look(helper->vmm, DISK), members[1].fd);
    assert_int_equal(look(helper->vmm, DISK)->modes, READ | BOTH);
}

/* No event, no lease, no count; the set is as it was. */
static void test_it_changes_nothing(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber events = subscriber_begin(helper, NULL, ALL_KINDS);
    client_add_disk(helper->manager, (struct new_set){1, LIFETIME(ONCE)});
    client_add_disk(helper->manager, (struct new_set){2, LIFETIME(IDLE), .idle_ms = NEVER_MS});
    event_expect_of(&events, EVENT(ADDED), 1);
    event_expect_of(&events, EVENT(ADDED), 2);
    uint64_t before = client_find_set(helper->manager, 2)->expires_ms;
    for (int i = 0; i < 100; i++) {
        look(helper->vmm, DISK);
        look(helper->vmm, "/dev/fdset/2");
        assert_refused(client_look(helper->vmm, "/dev/fdset/3"), CODE(NO_SET), ENOENT);
    }
    assert_true(client_find_set(helper->manager, 2)->expires_ms <= before);
    event_expect_none(helper, &events);
    Totals totals = client_totals(helper->manager);
    assert_int_equal(totals.opens, 0);
    assert_int_equal(totals.denied, 0);
    assert_int_equal(totals.leases, 0);
    assert_int_equal(client_open(helper->vmm, DISK, O_RDONLY).code, 0);
    assert_int_equal(client_open(helper->vmm, DISK, O_RDONLY).code, CODE(EMPTY_SET));
    assert_refused(client_look(helper->vmm, DISK), CODE(EMPTY_SET), EACCES);
}

/* Idle time that runs is not begun anew: looked at all the time, the set still ends. */
static void test_it_does_not_keep_an_idle_set(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber events = subscriber_of_ends(helper);
    client_add_disk(helper->manager, (struct new_set){1, LIFETIME(IDLE), .idle_ms = 50});
    wait_until(client_look(helper->vmm, DISK)->body_case == REPLY(ERROR));
    event_expect_of(&events, EVENT(REMOVED), 1);
}

static void test_what_another_vmm_has(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *other = helper_connect(helper, ROLE(VMM), "other vm");
    struct new_member alone = {.fd = file_open("disk", O_RDWR), .sharing = SHARING(EXCLUSIVE)};
    client_add_set(helper->manager, 1, LIFETIME(KEEP), &alone, 1);
    struct opened opened = client_open(other, DISK, O_RDWR | O_APPEND);
    assert_int_equal(opened.code, 0);
    assert_is_stat_of(look(helper->vmm, DISK), alone.fd);
    assert_int_equal(look(helper->vmm, DISK)->modes, BOTH);
    assert_int_equal(fcntl(opened.fd, F_GETFL) & O_APPEND, O_APPEND);
    assert_int_equal(client_open(helper->vmm, DISK, O_RDWR).code, CODE(BUSY));

    /* Removed, and still leased: it cannot be opened, so there is nothing to look at. */
    client_remove(helper->manager, 1, 0);
    assert_refused(client_look(helper->vmm, DISK), CODE(EMPTY_SET), EACCES);
    client_close(other, &opened);
}

/* A client that has not agreed on it is told so, as by a helper that does not know it. */
static void test_it_has_to_be_agreed_on(void **state) {
    struct helper *helper = helper_start(NULL);
    client_add_disk(helper->manager, (struct new_set){1, LIFETIME(KEEP)});
    struct client *old = helper_connect_silent(helper, ROLE(VMM));
    Fdset__V1__Hello hello = FDSET__V1__HELLO__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    hello.version = 1;
    hello.features = ~UINT64_C(7);
    request.body_case = FDSET__V1__REQUEST__BODY_HELLO;
    request.hello = &hello;
    assert_int_equal(client_ask(old, &request)->hello->features, 0);
    assert_refused(client_look(old, DISK), CODE(PROTOCOL), EPROTO);
    assert_hung_up(old);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_it_is_what_stat_says),
        helper_test(test_modes_are_those_of_all_members),
        helper_test(test_a_mixed_set),
        helper_test(test_it_changes_nothing),
        helper_test(test_it_does_not_keep_an_idle_set),
        helper_test(test_what_another_vmm_has),
        helper_test(test_it_has_to_be_agreed_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Proposal One of the discussion of 2012, step by step: a descriptor gets a
 * name by one command and is consumed by another.
 *
 * What it wanted and could not have then: the descriptor is gone from the list
 * as soon as a command has used it, and a command that fails leaves it there,
 * so that somebody has to clean up. Here that is a set of lifetime `once`. What
 * it feared, a leak where management dies in between, is no longer possible:
 * such a set ends with the connection of its manager. */
#include "harness.h"

#include <errno.h>
#include <unistd.h>

/* getfd: a descriptor, and a name for it. */
static int getfd(struct client *manager, const char *name, int fd) {
    struct new_member member = {.fd = fd};
    return client_add_new(manager,
                          (struct new_set){SET_NEW, LIFETIME(ONCE), &member, 1, .name = name});
}

/* closefd: what no command wanted. */
static void closefd(struct client *manager, int set) {
    assert_int_equal(client_remove(manager, set, 0)->removed->members, 1);
    client_wait_settled(manager);
}

/* What is still in the list, which getfd fills and a command empties. */
static bool is_listed(struct client *manager, int set) {
    client_wait_settled(manager);
    SetInfo *info = client_find_set(manager, set);
    return info && info->members[0]->state == MEMBER(LISTED);
}

static void test_proposal_one(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *manager = helper->manager, *vmm = helper->vmm;
    int reading = file_open("disk", O_RDONLY), writing = file_open("disk", O_RDWR);

    /* 1. Management passes a descriptor and gives it a name. */
    int set = getfd(manager, "disk-fd", reading);
    assert_true(is_listed(manager, set));

    /* 2. A drive is added by that name; the emulator looks the name up. */
    struct opened drive = client_open(vmm, "/dev/fdset/disk-fd", O_RDONLY);
    assert_serves(drive.fd, reading, O_RDONLY);

    /* 3a. It worked: the name is used up, without another command. */
    assert_false(is_listed(manager, set));
    assert_int_equal(client_open(vmm, "/dev/fdset/disk-fd", O_RDONLY).code, CODE(EMPTY_SET));

    /* 3b. Had it failed, the name would be there still, and closefd needed. So
     * does it for a drive that wants to write to what is open for reading. */
    int wrong = getfd(manager, "wrong-fd", reading);
    assert_int_equal(client_open(vmm, "/dev/fdset/wrong-fd", O_RDWR).code, CODE(MODE));
    assert_true(is_listed(manager, wrong));
    closefd(manager, wrong);
    assert_null(client_find_set(manager, wrong));
    assert_held(helper, reading, 1); /* the drive's own */

    /* 4. For the commit a second descriptor, under a new name, open for writing. */
    int second = getfd(manager, "commit-fd", writing);

    /* 5. The commit reopens the disk by the new name. */
    struct opened commit = client_open(vmm, "/dev/fdset/commit-fd", O_RDWR);

    /* 6a. It worked, so this name is used up as well; the drive lets go of its
     * first descriptor, and nothing of that name is left. */
    assert_serves(commit.fd, writing, O_RDWR);
    assert_false(is_listed(manager, second));
    client_close(vmm, &drive);
    client_barrier(vmm);
    client_wait_settled(manager);
    assert_null(client_find_set(manager, set));
    assert_held(helper, writing, 1);

    /* 6b. A commit that fails, because its file system cannot do what the
     * emulator wants of it, leaves its name to closefd. */
    int zero = harness_keep(open("/dev/zero", O_RDWR | O_CLOEXEC));
    int third = getfd(manager, "failed-fd", zero);
    assert_int_equal(client_open(vmm, "/dev/fdset/failed-fd", O_RDWR | O_DIRECT).code, CODE(FLAGS));
    assert_true(is_listed(manager, third));
    closefd(manager, third);
    assert_held(helper, zero, 0);
}

/* The leak that the proposal had against it: management dies after getfd and
 * before the command. */
static void test_management_dies_in_between(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *manager = helper_connect(helper, ROLE(MANAGER), "management");
    int disk = file_open("disk", O_RDWR);
    int set = getfd(manager, "disk-fd", disk);
    client_leave(helper, manager);
    client_wait_settled(helper->manager);
    assert_null(client_find_set(helper->manager, set));
    assert_held(helper, disk, 0);
    assert_int_equal(client_open(helper->vmm, "/dev/fdset/disk-fd", O_RDWR).code, CODE(NO_SET));
}

/* A command that used its descriptor keeps it, whatever becomes of management. */
static void test_management_dies_afterwards(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *manager = helper_connect(helper, ROLE(MANAGER), "management");
    int disk = file_open("disk", O_RDWR);
    getfd(manager, "disk-fd", disk);
    struct opened drive = client_open(helper->vmm, "/dev/fdset/disk-fd", O_RDWR);
    client_leave(helper, manager);
    assert_serves(drive.fd, disk, O_RDWR);
    client_close(helper->vmm, &drive);
    client_wait_idle(helper->manager);
    assert_int_equal(client_totals(helper->manager).sets, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_proposal_one),
        helper_test(test_management_dies_in_between),
        helper_test(test_management_dies_afterwards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

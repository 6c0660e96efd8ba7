/* SPDX-License-Identifier: MIT */
/* Proposal Two of the discussion of 2012, step by step: a permanent name, whose
 * descriptor is replaced before the emulator has to open it anew.
 *
 * What it wanted: no command of the emulator's changes, because the name of a
 * disk stays what it is. What it had against it: the name had to be kept open
 * and forced to another descriptor, in steps that could be seen. Here a set has
 * a name, of lifetime `keep`, and Replace is one step. */
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/* pass-fd: returns the number behind the permanent name. With `force` the name
 * is there already, and gets another descriptor. */
static int pass_fd(struct client *manager, const char *name, int fd, bool force) {
    struct new_member member = {.fd = fd};
    return client_add_new(manager, (struct new_set){SET_NEW, LIFETIME(KEEP), &member, 1,
                                                    .name = name, .replace = force});
}

static void test_proposal_two(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *manager = helper->manager, *vmm = helper->vmm;
    int reading = file_open("disk", O_RDONLY), writing = file_open("disk", O_RDWR);

    /* 1. Management passes a descriptor and learns its permanent name. */
    int number = pass_fd(manager, "drive0", reading, false);

    /* 2. A drive is added by the name. The emulator gets a copy of its own, and
     * the name stays open beside it. */
    struct opened drive = client_open(vmm, "/dev/fdset/drive0", O_RDONLY);
    assert_serves(drive.fd, reading, O_RDONLY);
    assert_held(helper, reading, 1);

    /* The commit would need to write, which this name cannot do yet. */
    assert_int_equal(client_open(vmm, "/dev/fdset/drive0", O_RDWR).code, CODE(MODE));

    /* 3. By force the name gets another descriptor. Its number stays as well. */
    assert_int_equal(pass_fd(manager, "drive0", writing, true), number);

    /* 4. The commit looks up the name that it has known from the start, and has
     * the new descriptor. What the drive had open goes on being what it was. */
    struct opened commit = client_open(vmm, "/dev/fdset/drive0", O_RDWR);
    assert_serves(commit.fd, writing, O_RDWR);
    assert_serves(drive.fd, reading, O_RDONLY);
    client_close(vmm, &drive);

    /* And back, as when the overlay is on top again: the same once more. */
    int again = file_open("disk", O_RDONLY);
    assert_int_equal(pass_fd(manager, "drive0", again, true), number);
    drive = client_open(vmm, "/dev/fdset/drive0", O_RDONLY);
    assert_serves(drive.fd, again, O_RDONLY);
    client_close(vmm, &commit);
    client_barrier(vmm);
    client_wait_settled(manager);
    assert_held(helper, reading, 1);

    /* 5. When all is done, well or not, management closes the name. The drive
     * that uses it goes on; with its end there is nothing left. */
    client_remove(manager, number, 0);
    assert_int_equal(client_open(vmm, "/dev/fdset/drive0", O_RDONLY).code, CODE(EMPTY_SET));
    assert_serves(drive.fd, again, O_RDONLY);
    client_close(vmm, &drive);
    client_wait_idle(manager);
    assert_int_equal(client_totals(manager).sets, 0);
    assert_held(helper, again, 0);
}

/* A force that fails must not cost the name: the drive has nothing else. */
static void test_a_force_that_fails(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR);
    int number = pass_fd(helper->manager, "drive0", disk, false);
    struct new_member member = {.fd = harness_keep(open(file_path("disk"), O_PATH | O_CLOEXEC))};
    client_add_refused(
        helper->manager,
        (struct new_set){SET_NEW, LIFETIME(KEEP), &member, 1, .name = "drive0", .replace = true},
        CODE(BAD_FD), EBADF);
    assert_int_equal(client_find_set(helper->manager, number)->n_members, 1);
    assert_serves(client_open(helper->vmm, "/dev/fdset/drive0", O_RDWR).fd, disk, O_RDWR);
}

/* Somebody else's manager does not get the name by chance: without force a
 * second pass-fd adds to it, which takes nothing away. */
static void test_without_force(void **state) {
    struct helper *helper = helper_start(NULL);
    int reading = file_open("disk", O_RDONLY), writing = file_open("disk", O_RDWR);
    int number = pass_fd(helper->manager, "drive0", reading, false);
    assert_int_equal(pass_fd(helper->manager, "drive0", writing, false), number);
    assert_serves(client_open(helper->vmm, "/dev/fdset/drive0", O_RDONLY).fd, reading, O_RDONLY);
    assert_serves(client_open(helper->vmm, "/dev/fdset/drive0", O_RDWR).fd, writing, O_RDWR);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_proposal_two),
        helper_test(test_a_force_that_fails),
        helper_test(test_without_force),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

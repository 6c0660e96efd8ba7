/* SPDX-License-Identifier: MIT */
/* Proposal Five of the discussion of 2012, the one that became QEMU's add-fd,
 * step by step: descriptors are added to a set and taken out of it while the
 * emulator uses it, each counted.
 *
 * Then what it says of a management that crashes, of a connection that closes,
 * and of descriptors on the command line; and its open question: whether the
 * emulator needs a flag of its own for a set that it has not open now. */
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DISK "/dev/fdset/1"

/* add-fd: what comes back is what remove-fd takes. */
static uint32_t add_fd(struct client *manager, int set, int fd, const char *opaque) {
    struct new_member member = {.fd = fd, .opaque = opaque};
    struct new_set new_set = {set, LIFETIME(UNSPECIFIED), &member, 1, .grace_ms = NEVER_MS};
    Reply *reply = client_add(manager, &new_set, 1);
    assert_int_equal(reply->body_case, REPLY(ADDED));
    return reply->added->sets[0]->members[0];
}

static void remove_fd(struct client *manager, int set, uint32_t member) {
    assert_int_equal(client_remove(manager, set, member)->removed->members, 1);
}

/* The two things that the proposal keeps of a descriptor: whether management
 * has it in use, and how often the emulator has. */
static void expect_count(struct helper *helper, uint32_t member, bool in_use, unsigned count) {
    client_wait_settled(helper->manager);
    SetInfo *set = client_query(helper->manager, 1, NULL)->sets[0];
    for (size_t i = 0; i < set->n_members; i++) {
        if (set->members[i]->member != member)
            continue;
        assert_int_equal(set->members[i]->state, in_use ? MEMBER(LISTED) : MEMBER(REMOVED));
        assert_int_equal(set->members[i]->lease_count, count);
        return;
    }
    fail_msg("member %u is not there", member);
}

static void test_proposal_five(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *manager = helper->manager, *vmm = helper->vmm;
    int reading = file_open("disk", O_RDONLY), writing = file_open("disk", O_RDWR);

    /* 1. add-fd: the set is made, and management has the descriptor in use. */
    uint32_t first = add_fd(manager, 1, reading, "disk:ro");
    expect_count(helper, first, true, 0);

    /* 2. A drive is added: the open takes the descriptor with its access mode,
     * and the count goes up. */
    struct opened drive = client_open(vmm, DISK, O_RDONLY);
    assert_int_equal(drive.member, first);
    expect_count(helper, first, true, 1);

    /* 3. add-fd once more, for writing, into the same set. */
    uint32_t second = add_fd(manager, 1, writing, "disk:rw");
    expect_count(helper, second, true, 0);

    /* 3. The commit reopens the same path and gets the other descriptor. */
    struct opened commit = client_open(vmm, DISK, O_RDWR);
    assert_int_equal(commit.member, second);
    assert_serves(commit.fd, writing, O_RDWR);
    expect_count(helper, second, true, 1);
    client_close(vmm, &drive);
    client_barrier(vmm);
    expect_count(helper, first, true, 0);

    /* 4. remove-fd: management's flag is off, at once and whatever the machine
     * does. The emulator still has it, so it is not closed yet. */
    remove_fd(manager, 1, second);
    expect_count(helper, second, false, 1);
    assert_serves(commit.fd, writing, O_RDWR);
    assert_int_equal(client_open(vmm, DISK, O_RDWR).code, CODE(MODE));

    /* 5. The emulator closes it: the count is zero and the flag is off, so the
     * descriptor is closed. The rest of the set is as it was. */
    drive = client_open(vmm, DISK, O_RDONLY);
    client_close(vmm, &commit);
    client_barrier(vmm);
    client_wait_settled(manager);
    SetInfo *set = client_query(manager, 1, NULL)->sets[0];
    assert_int_equal(set->n_members, 1);
    assert_int_equal(set->members[0]->member, first);
    assert_held(helper, reading, 1);
    expect_count(helper, first, true, 1);
}

/* "If libvirt crashes it can call query-fd": the new one finds what the old one
 * had passed, tells by the labels what is what, and goes on from there. */
static void test_management_crashes(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *libvirt = helper_connect_owner(helper, "libvirtd", "libvirt");
    struct client *other = helper_connect_owner(helper, "backup", "backup-tool");
    int reading = file_open("disk", O_RDONLY), writing = file_open("disk", O_RDWR);
    add_fd(libvirt, 1, reading, "libvirt-1-storage0");
    uint32_t member = add_fd(libvirt, 1, writing, "libvirt-1-storage1");
    add_fd(other, 10, file_open("other", O_RDWR), "libvirt-10-storage1");
    struct opened drive = client_open(helper->vmm, DISK, O_RDONLY);
    client_leave(helper, libvirt);

    /* While it is away the machine goes on, and may reopen its disk. */
    struct opened commit = client_open(helper->vmm, DISK, O_RDWR);
    assert_serves(commit.fd, writing, O_RDWR);

    /* It is back: these are its sets, and no other's. */
    libvirt = helper_connect_owner(helper, "libvirtd", "libvirt");
    Query query = FDSET__V1__QUERY__INIT;
    query.owner = (char *)"libvirt";
    QueryReply *page = client_query_with(libvirt, &query);
    assert_int_equal(page->n_sets, 1);
    assert_int_equal(page->sets[0]->set, 1);
    assert_false(page->sets[0]->orphaned);
    assert_int_equal(page->sets[0]->n_members, 2);
    assert_string_equal(page->sets[0]->members[0]->opaque, "libvirt-1-storage0");
    assert_string_equal(page->sets[0]->members[1]->opaque, "libvirt-1-storage1");
    assert_int_equal(page->sets[0]->members[1]->n_leases, 1);
    assert_int_equal(page->sets[0]->members[1]->leases[0]->lease, commit.lease);

    /* A label is found whole: "libvirt-1" is no part of "libvirt-10". */
    query.owner = (char *)"";
    query.label_case = FDSET__V1__QUERY__LABEL_OPAQUE;
    query.opaque = (char *)"libvirt-1-storage1";
    page = client_query_with(libvirt, &query);
    assert_int_equal(page->n_sets, 1);
    assert_int_equal(page->sets[0]->n_members, 1);
    assert_int_equal(page->sets[0]->members[0]->member, member);
    query.opaque = (char *)"libvirt-1";
    assert_int_equal(client_query_with(libvirt, &query)->n_sets, 0);

    /* It goes on where it was: the commit is done, and the right to write goes. */
    remove_fd(libvirt, 1, member);
    client_close(helper->vmm, &commit);
    client_barrier(helper->vmm);
    client_wait_settled(helper->manager);
    assert_int_equal(client_query(libvirt, 1, NULL)->sets[0]->n_members, 1);
    client_close(helper->vmm, &drive);
    client_barrier(helper->vmm);
    client_remove(libvirt, 1, 0);
    client_remove(other, 10, 0);
    client_wait_settled(helper->manager);
}

/* "If monitor connection closes, qemu will close fds that have a refcount of
 * zero": so it is, for a manager that asked for no grace. */
static void test_the_monitor_disconnects(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *monitor = helper_connect(helper, ROLE(MANAGER), "monitor");
    int reading = file_open("disk", O_RDONLY), writing = file_open("disk", O_RDWR);
    client_add_one(monitor, 1, reading);
    client_add_one(monitor, 1, writing);
    client_add_one(monitor, 2, reading);
    struct opened drive = client_open(helper->vmm, DISK, O_RDWR);
    client_leave(helper, monitor);
    client_wait_settled(helper->manager);

    /* What was not in use is closed, what was goes with its last close. */
    assert_int_equal(client_totals(helper->manager).sets, 1);
    expect_count(helper, drive.member, true, 1);
    assert_held(helper, writing, 1);
    assert_serves(drive.fd, writing, O_RDWR);
    client_close(helper->vmm, &drive);
    client_wait_idle(helper->manager);
    assert_int_equal(client_totals(helper->manager).sets, 0);
    assert_held(helper, writing, 0);
}

/* "Do we also need a qemu in-use flag in case refcount is zero and fd is still
 * in use?" Yes: for a disk that is closed for a moment, as in a migration. */
static void test_an_in_use_flag_of_the_emulators(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *monitor = helper_connect(helper, ROLE(MANAGER), "monitor");
    int disk = file_open("disk", O_RDWR);
    client_add_one(monitor, 1, disk);
    struct opened drive = client_open(helper->vmm, DISK, O_RDWR);

    /* The emulator closes the disk but says that it is not done with it. */
    assert_int_equal(client_hold(helper->vmm, DISK)->body_case, REPLY(DONE));
    client_close(helper->vmm, &drive);
    client_barrier(helper->vmm);
    client_wait_settled(helper->manager);

    /* Now the count is zero, and the monitor closes. */
    client_leave(helper, monitor);
    client_wait_settled(helper->manager);
    assert_int_equal(client_find_set(helper->manager, 1)->holds, 1);
    drive = client_open(helper->vmm, DISK, O_RDWR);
    assert_serves(drive.fd, disk, O_RDWR);

    /* Done with it: with flag and count gone, so is the set. */
    assert_int_equal(client_unhold(helper->vmm, DISK)->body_case, REPLY(DONE));
    client_close(helper->vmm, &drive);
    client_wait_idle(helper->manager);
    assert_int_equal(client_totals(helper->manager).sets, 0);
}

/* "Patch series 2": descriptors on the command line, in sets from the start. */
static void test_descriptors_on_the_command_line(void **state) {
    char options[2][64];
    int reading = file_open("disk", O_RDONLY), writing = file_open("disk", O_RDWR);
    snprintf(options[0], sizeof(options[0]), "fd=%d,set=1,opaque=disk:ro", reading);
    snprintf(options[1], sizeof(options[1]), "fd=%d,set=1,opaque=disk:rw", writing);
    struct helper *helper =
        helper_start_with((const char *[]){"--add-fd", options[0], "--add-fd", options[1], NULL},
                          (int[]){reading, writing, -1});
    SetInfo *set = client_query(helper->manager, 1, NULL)->sets[0];
    assert_int_equal(set->lifetime, LIFETIME(KEEP));
    assert_int_equal(set->n_members, 2);
    assert_string_equal(set->members[0]->opaque, "disk:ro");
    assert_string_equal(set->members[1]->opaque, "disk:rw");
    struct opened drive = client_open(helper->vmm, DISK, O_RDONLY);
    assert_serves(drive.fd, reading, O_RDONLY);
    struct opened commit = client_open(helper->vmm, DISK, O_RDWR);
    assert_serves(commit.fd, writing, O_RDWR);
    client_hang_up(helper->vmm); /* it had these before it could be counted */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_proposal_five),
        helper_test(test_management_crashes),
        helper_test(test_the_monitor_disconnects),
        helper_test(test_an_in_use_flag_of_the_emulators),
        helper_test(test_descriptors_on_the_command_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Two virtual machines and one disk: who may write, who must wait, and that a
 * machine that has gone, however it went, is in nobody's way. Each machine is a
 * process of its own, so that the helper can tell by its id which is meant. */
#include "child.h"
#include "events.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define DISK "/dev/fdset/1"

static void add_disk(struct helper *helper, int fd, int sharing) {
    struct new_member member = {.fd = fd, .sharing = sharing};
    client_add_set(helper->manager, 1, LIFETIME(KEEP), &member, 1);
}

/* A machine that opens the disk and keeps it until it is told to close it. */
static void opens_and_closes(struct child_side *side) {
    int *flags = side->data;
    struct opened opened = client_open(side->client, DISK, *flags);
    if (opened.fd < 0)
        fail_msg("not opened: %s", opened.text);
    parent_tell(side);
    parent_wait(side);
    client_close(side->client, &opened);
    client_barrier(side->client);
    parent_tell(side);
    parent_wait(side);
}

static struct child start_holder(struct helper *helper, int flags) {
    static int wanted;
    wanted = flags;
    struct child holder = child_start(helper, ROLE(VMM), "vm-alpha", opens_and_closes, &wanted);
    child_wait(&holder);
    return holder;
}

static struct opened expect_refused(struct client *vmm, int flags) {
    struct opened opened = client_open(vmm, DISK, flags);
    assert_int_equal(opened.code, CODE(BUSY));
    assert_int_equal(opened.error, EBUSY);
    return opened;
}

/* The refusal says by whom, its process and the name that it goes by: to a VMM of the holder's
 * own endpoint, and to subscribers. To another VM it says no more than that it is another. */
static void expect_busy(struct helper *helper, int flags, const struct child *holder) {
    char pid[32];
    snprintf(pid, sizeof(pid), "pid %d", holder->pid);
    struct client *sibling = helper_connect(helper, ROLE(VMM), "sibling");
    struct opened opened = expect_refused(sibling, flags);
    assert_non_null(strstr(opened.text, pid));
    assert_non_null(strstr(opened.text, "vm-alpha"));
    client_leave(helper, sibling);

    struct subscriber events = subscriber_begin(helper, (int[]){EVENT(DENIED)}, 1);
    opened = expect_refused(helper->vmm, flags);
    assert_null(strstr(opened.text, pid));
    assert_null(strstr(opened.text, "vm-alpha"));
    assert_non_null(strstr(opened.text, "another VM"));
    Event *denied = event_expect(&events, EVENT(DENIED));
    assert_string_equal(denied->endpoint, "vmm");
    assert_non_null(denied->held_by);
    assert_int_equal(denied->held_by->pid, holder->pid);
    assert_string_equal(denied->held_by->name, "vm-alpha");
    assert_string_equal(denied->held_by->endpoint, "vmm2");
    assert_true(denied->held_by->lease > 0);
    client_leave(helper, events.client);
}

/* -------------------------------------------------------- writers and others */

static void test_a_writer_keeps_the_others_out_until_it_closes(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR);
    add_disk(helper, disk, SHARING(UNSPECIFIED));
    struct child holder = start_holder(helper, O_RDWR);
    expect_busy(helper, O_RDWR, &holder);

    child_go(&holder);
    child_wait(&holder);
    assert_serves(client_open(helper->vmm, DISK, O_RDWR).fd, disk, O_RDWR);
    child_go(&holder);
    child_join(&holder);
}

static void test_a_killed_writer_keeps_nobody_out(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR);
    add_disk(helper, disk, SHARING(UNSPECIFIED));
    for (int round = 0; round < 3; round++) {
        struct child holder = start_holder(helper, O_RDWR);
        expect_busy(helper, O_RDWR, &holder);
        /* Whoever waits for the disk has it as soon as its holder is dead. */
        uint32_t serial = client_begin_open(helper->vmm, DISK, O_RDWR, WAIT_FOREVER_MS);
        child_kill(&holder);
        struct opened opened = client_opened(helper->vmm, serial);
        assert_serves(opened.fd, disk, O_RDWR);
        client_close(helper->vmm, &opened);
        client_barrier(helper->vmm);
    }
}

/* Write-only is writing too, and so is what may serve reading from a member
 * that can be written. */
static void test_what_counts_as_writing(void **state) {
    struct helper *helper = helper_start(NULL);
    int log = file_open("disk", O_WRONLY), disk = file_open("disk", O_RDWR);
    add_disk(helper, log, SHARING(UNSPECIFIED));
    struct child writer = start_holder(helper, O_WRONLY);
    expect_busy(helper, O_WRONLY, &writer);
    child_kill(&writer);
    client_wait_idle(helper->manager);

    struct new_member member = {.fd = disk, .serves_read_only = true};
    client_add_set(helper->manager, 1, LIFETIME(KEEP), &member, 1);
    struct child reader = start_holder(helper, O_RDONLY);
    expect_busy(helper, O_RDONLY, &reader);
    expect_busy(helper, O_RDWR, &reader);
    child_kill(&reader);
}

static void test_a_reader_keeps_the_others_out_and_a_writer_has_its_own(void **state) {
    struct helper *helper = helper_start(NULL);
    int reading = file_open("disk", O_RDONLY), writing = file_open("disk", O_RDWR);
    add_disk(helper, reading, SHARING(UNSPECIFIED));
    add_disk(helper, writing, SHARING(UNSPECIFIED));
    struct child holder = start_holder(helper, O_RDONLY);
    expect_busy(helper, O_RDONLY, &holder);
    assert_serves(client_open(helper->vmm, DISK, O_RDWR).fd, writing, O_RDWR);
    child_kill(&holder);
}

/* The manager hears who wants a member, and what it adds is that VMM's. */
static void test_a_second_reader_waits_for_a_member_of_its_own(void **state) {
    struct helper *helper = helper_start(NULL);
    int first = file_open("disk", O_RDONLY), second = file_open("disk", O_RDONLY);
    add_disk(helper, first, SHARING(UNSPECIFIED));
    struct child holder = start_holder(helper, O_RDONLY);
    struct subscriber events = subscriber_begin(helper, NULL, 0);
    uint32_t serial = client_begin_open(helper->vmm, DISK, O_RDONLY, WAIT_FOREVER_MS);
    Event *wanted = event_expect(&events, EVENT(WANTED));
    assert_int_equal(wanted->code, CODE(BUSY));
    assert_string_equal(wanted->path, DISK);
    add_disk(helper, second, SHARING(UNSPECIFIED));
    assert_serves(client_opened(helper->vmm, serial).fd, second, O_RDONLY);
    child_kill(&holder);
}

/* ------------------------------------------------- what the manager chooses */

static void test_exclusive_is_one_lease(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDONLY);
    add_disk(helper, disk, SHARING(EXCLUSIVE));
    struct child holder = start_holder(helper, O_RDONLY);
    expect_busy(helper, O_RDONLY, &holder);
    child_kill(&holder);

    client_wait_idle(helper->manager);
    struct opened mine = client_open(helper->vmm, DISK, O_RDONLY);
    assert_serves(mine.fd, disk, O_RDONLY);
    struct opened again = client_open(helper->vmm, DISK, O_RDONLY);
    assert_int_equal(again.code, CODE(BUSY));
    assert_non_null(strstr(again.text, "test vmm"));
}

static void test_shared_is_anyones(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR);
    add_disk(helper, disk, SHARING(SHARED));
    struct child holder = start_holder(helper, O_RDWR);
    assert_serves(client_open(helper->vmm, DISK, O_RDWR).fd, disk, O_RDWR);
    assert_serves(client_open(helper->vmm, DISK, O_RDWR).fd, disk, O_RDWR);
    child_kill(&holder);
}

/* One member for each machine: then they are as far apart as if each had opened
 * the file itself, and locks between them hold. Natively both would have the
 * same description, to which its own locks are no obstacle. */
static bool try_lock(int fd) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 1};
    return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

static void opens_and_locks(struct child_side *side) {
    struct opened opened = client_open(side->client, DISK, O_RDWR);
    assert_true(opened.fd >= 0);
    assert_true(try_lock(opened.fd));
    parent_tell(side);
    parent_wait(side);
}

static void test_locks_hold_between_members(void **state) {
    struct helper *helper = helper_start(NULL);
    add_disk(helper, file_open("disk", O_RDWR), SHARING(UNSPECIFIED));
    add_disk(helper, file_open("disk", O_RDWR), SHARING(UNSPECIFIED));
    struct child holder = child_start(helper, ROLE(VMM), "vm-alpha", opens_and_locks, NULL);
    child_wait(&holder);
    struct opened opened = client_open(helper->vmm, DISK, O_RDWR);
    assert_int_equal(opened.code, 0);
    assert_false(try_lock(opened.fd));

    child_kill(&holder);
    wait_until(client_totals(helper->manager).leases <= 1);
    client_wait_settled(helper->manager);
    assert_true(try_lock(opened.fd));
}

/* QEMU locks what it reads, and unlocks as it quits in an orderly way. With a member
 * each, the one's unlock leaves the other's lock as it is: what the host asks meets it. */
static void locks_and_unlocks(struct child_side *side) {
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 1};
    struct opened opened = client_open(side->client, DISK, O_RDONLY);
    if (opened.fd < 0)
        fail_msg("not opened: %s", opened.text);
    assert_int_equal(fcntl(opened.fd, F_OFD_SETLK, &lock), 0);
    parent_tell(side);
    parent_wait(side);
    lock.l_type = F_UNLCK;
    assert_int_equal(fcntl(opened.fd, F_OFD_SETLK, &lock), 0);
    client_close(side->client, &opened);
    client_barrier(side->client);
    parent_tell(side);
    parent_wait(side);
}

static void test_an_orderly_end_takes_nobody_elses_locks(void **state) {
    struct helper *helper = helper_start(NULL);
    int host = file_open("disk", O_RDWR);
    add_disk(helper, file_open("disk", O_RDONLY), SHARING(UNSPECIFIED));
    add_disk(helper, file_open("disk", O_RDONLY), SHARING(UNSPECIFIED));
    struct child first = child_start(helper, ROLE(VMM), "vm-alpha", locks_and_unlocks, NULL);
    child_wait(&first);
    struct child second = child_start(helper, ROLE(VMM), "vm-beta", locks_and_unlocks, NULL);
    child_wait(&second);
    assert_false(try_lock(host));
    child_go(&second);
    child_wait(&second);
    assert_false(try_lock(host));
    child_go(&first);
    child_wait(&first);
    assert_true(try_lock(host));
    child_kill(&first);
    child_kill(&second);
}

/* ---------------------------------------------------- what Query says of it */

static void test_the_manager_sees_who_holds_what(void **state) {
    struct helper *helper = helper_start(NULL);
    add_disk(helper, file_open("disk", O_RDWR), SHARING(UNSPECIFIED));
    MemberInfo *member = client_query(helper->manager, 1, NULL)->sets[0]->members[0];
    assert_int_equal(member->lease_count, 0);

    struct child holder = start_holder(helper, O_RDWR | O_APPEND);
    member = client_query(helper->manager, 1, NULL)->sets[0]->members[0];
    assert_int_equal(member->lease_count, 1);
    assert_int_equal(member->n_leases, 1);
    assert_int_equal(member->leases[0]->pid, holder.pid);
    assert_string_equal(member->leases[0]->name, "vm-alpha");
    assert_int_equal(member->leases[0]->flags, O_RDWR | O_APPEND);
    child_kill(&holder);
    client_wait_idle(helper->manager);
    assert_int_equal(client_query(helper->manager, 1, NULL)->sets[0]->members[0]->n_leases, 0);
}

/* ------------------------------------------- each pays for what it has open */

/* QEMU must have room for all members beside what it opens; here a machine that
 * may have few descriptors is served from sets of hundreds. */
static void opens_with_few_descriptors(struct child_side *side) {
    int next = dup(side->to);
    struct rlimit few = {(rlim_t)next + 1, (rlim_t)next + 1};
    close(next);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    for (int i = 0; i < 10; i++) {
        struct opened opened = client_open(side->client, DISK, O_RDONLY);
        if (opened.fd < 0)
            fail_msg("not opened: %s", opened.text);
        client_close(side->client, &opened);
    }
    parent_tell(side);
    parent_wait(side);
}

static void test_members_are_no_burden_to_a_vmm(void **state) {
    struct helper *helper = helper_start(NULL);
    static struct new_member members[FDSET_MAX_DESCRIPTORS];
    int disk = file_open("disk", O_RDONLY);
    for (int i = 0; i < FDSET_MAX_DESCRIPTORS; i++)
        members[i] = (struct new_member){.fd = disk};
    client_add_set(helper->manager, 1, LIFETIME(KEEP), members, FDSET_MAX_DESCRIPTORS);
    struct child few = child_start(helper, ROLE(VMM), "few", opens_with_few_descriptors, NULL);
    child_wait(&few);
    child_go(&few);
    child_join(&few);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_a_writer_keeps_the_others_out_until_it_closes),
        helper_test(test_a_killed_writer_keeps_nobody_out),
        helper_test(test_what_counts_as_writing),
        helper_test(test_a_reader_keeps_the_others_out_and_a_writer_has_its_own),
        helper_test(test_a_second_reader_waits_for_a_member_of_its_own),
        helper_test(test_exclusive_is_one_lease),
        helper_test(test_shared_is_anyones),
        helper_test(test_locks_hold_between_members),
        helper_test(test_an_orderly_end_takes_nobody_elses_locks),
        helper_test(test_the_manager_sees_who_holds_what),
        helper_test(test_members_are_no_burden_to_a_vmm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

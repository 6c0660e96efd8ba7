/* SPDX-License-Identifier: MIT */
/* Proposal Three of the discussion of 2012, step by step: descriptors ride along
 * with one command, belong to it alone, and are gone if it fails.
 *
 * The worked example of how to have that without teaching it to any command: a
 * command's descriptors are sets of lifetime `once`, all added in one request,
 * by a connection that lives as long as the command. What the command opens is
 * used up as it is opened; what it did not get to goes as the connection ends.
 * There is no third thing that could be left over. */
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define MOST 4

/* A command under way: the connection that its descriptors belong to, and the
 * paths that stand for /dev/fdlist/1, /dev/fdlist/2 and so on. */
struct command {
    struct client *connection;
    size_t count;
    int sets[MOST];
    char paths[MOST][32];
};

/* nfds=N: all descriptors in one request, or none. Returns whether they were taken. */
static bool command_begin(struct helper *helper, struct command *command, const int *fds,
                          size_t count) {
    struct new_member members[MOST];
    struct new_set sets[MOST];

    command->connection = helper_connect(helper, ROLE(MANAGER), "a command");
    command->count = count;
    for (size_t i = 0; i < count; i++) {
        members[i] = (struct new_member){.fd = fds[i]};
        sets[i] = (struct new_set){SET_NEW, LIFETIME(ONCE), &members[i], 1};
    }
    Reply *reply = client_add(command->connection, sets, count);
    if (reply->body_case == REPLY(ERROR))
        return false;
    for (size_t i = 0; i < count; i++) {
        command->sets[i] = reply->added->sets[i]->set;
        snprintf(command->paths[i], sizeof(command->paths[i]), "/dev/fdset/%d", command->sets[i]);
    }
    return true;
}

static void command_end(struct helper *helper, struct command *command) {
    client_leave(helper, command->connection);
    client_wait_settled(helper->manager);
}

static void expect_no_trace(struct helper *helper) {
    QueryReply *page = client_query(helper->manager, SET_ALL, NULL);
    assert_int_equal(page->n_sets, 0);
    assert_int_equal(page->totals->members, 0);
    assert_int_equal(page->totals->leases, 0);
    assert_int_equal(helper_descriptors(helper), helper->descriptors);
}

static void test_proposal_three(void **state) {
    struct helper *helper = helper_start(NULL);
    struct command add_drive, commit;
    int reading = file_open("disk", O_RDONLY), writing = file_open("disk", O_RDWR);

    /* 1. A drive is added with one descriptor. It is used as the block file: on
     * success it is the drive's, and there is no name of it any more. */
    assert_true(command_begin(helper, &add_drive, &reading, 1));
    struct opened drive = client_open(helper->vmm, add_drive.paths[0], O_RDONLY);
    assert_serves(drive.fd, reading, O_RDONLY);
    assert_int_equal(client_open(helper->vmm, add_drive.paths[0], O_RDONLY).code, CODE(EMPTY_SET));
    command_end(helper, &add_drive);
    assert_serves(drive.fd, reading, O_RDONLY);

    /* 2. The commit brings the descriptor for its reopen itself, and with it the
     * path that overrides the drive's: the numbers of one command mean nothing
     * to another. */
    assert_true(command_begin(helper, &commit, &writing, 1));
    assert_int_not_equal(commit.sets[0], add_drive.sets[0]);
    struct opened reopened = client_open(helper->vmm, commit.paths[0], O_RDWR);
    assert_serves(reopened.fd, writing, O_RDWR);
    client_close(helper->vmm, &drive);
    client_barrier(helper->vmm);
    command_end(helper, &commit);

    /* Both drives are closed in the end; neither command is to be cleaned up after. */
    client_close(helper->vmm, &reopened);
    client_wait_idle(helper->manager);
    expect_no_trace(helper);
}

/* On failure nothing is left, wherever in the command it happens. Here it needs
 * three descriptors, opens them in turn, and fails at each of them once: the
 * emulator closes what it has opened, and management does nothing but hang up. */
static void test_a_command_that_fails(void **state) {
    struct helper *helper = helper_start(NULL);
    int fds[] = {file_open("base", O_RDONLY), file_open("overlay", O_RDWR),
                 file_open("log", O_WRONLY)};
    static const int modes[] = {O_RDONLY, O_RDWR, O_WRONLY};
    for (int wrong = 0; wrong < 3; wrong++) {
        struct command command;
        struct opened opened[3];
        assert_true(command_begin(helper, &command, fds, 3));
        for (int i = 0; i <= wrong; i++) {
            int flags = i < wrong ? modes[i] : modes[(i + 1) % 3];
            opened[i] = client_open(helper->vmm, command.paths[i], flags);
            assert_int_equal(opened[i].code, i < wrong ? 0 : CODE(MODE));
        }
        for (int i = 0; i < wrong; i++)
            client_close(helper->vmm, &opened[i]);
        client_barrier(helper->vmm);
        command_end(helper, &command);
        expect_no_trace(helper);
    }
}

/* It may fail before it has begun: one descriptor is no good, so none is taken. */
static void test_a_command_with_a_bad_descriptor(void **state) {
    struct helper *helper = helper_start(NULL);
    int good = file_open("disk", O_RDWR);
    int bad = harness_keep(open(file_path("disk"), O_PATH | O_CLOEXEC));
    for (int wrong = 0; wrong < 3; wrong++) {
        struct command command;
        int fds[] = {good, good, good};
        fds[wrong] = bad;
        assert_false(command_begin(helper, &command, fds, 3));
        assert_int_equal(client_totals(helper->manager).sets, 0);
        command_end(helper, &command);
        expect_no_trace(helper);
    }
}

/* The emulator dies in mid-command, or management does: either way the end. */
static void test_somebody_dies_in_mid_command(void **state) {
    struct helper *helper = helper_start(NULL);
    int fds[] = {file_open("base", O_RDONLY), file_open("overlay", O_RDWR)};
    struct command command;

    struct client *vmm = helper_connect(helper, ROLE(VMM), "doomed");
    assert_true(command_begin(helper, &command, fds, 2));
    assert_int_equal(client_open(vmm, command.paths[0], O_RDONLY).code, 0);
    client_leave(helper, vmm);
    command_end(helper, &command);
    expect_no_trace(helper);

    assert_true(command_begin(helper, &command, fds, 2));
    struct opened opened = client_open(helper->vmm, command.paths[0], O_RDONLY);
    command_end(helper, &command);
    assert_int_equal(client_open(helper->vmm, command.paths[1], O_RDWR).code, CODE(NO_SET));
    client_close(helper->vmm, &opened);
    client_wait_idle(helper->manager);
    expect_no_trace(helper);
}

/* Two commands at a time, each with a first descriptor: neither has the other's. */
static void test_two_commands_at_once(void **state) {
    struct helper *helper = helper_start(NULL);
    int disks[] = {file_open("one", O_RDWR), file_open("two", O_RDWR)};
    struct command one, two;
    assert_true(command_begin(helper, &one, &disks[0], 1));
    assert_true(command_begin(helper, &two, &disks[1], 1));
    assert_serves(client_open(helper->vmm, two.paths[0], O_RDWR).fd, disks[1], O_RDWR);
    command_end(helper, &two);
    assert_serves(client_open(helper->vmm, one.paths[0], O_RDWR).fd, disks[0], O_RDWR);
    command_end(helper, &one);
}

/* A manager that would rather keep its connection withdraws what is left by its
 * number: the token that the paths are made of. */
static void test_withdrawn_by_its_number(void **state) {
    struct helper *helper = helper_start(NULL);
    struct command command;
    int fds[] = {file_open("base", O_RDONLY), file_open("overlay", O_RDWR)};
    assert_true(command_begin(helper, &command, fds, 2));
    struct opened base = client_open(helper->vmm, command.paths[0], O_RDONLY);
    assert_int_equal(client_open(helper->vmm, command.paths[1], O_RDONLY).code, CODE(MODE));
    /* What was used up counts for nothing, what was not is taken back. */
    assert_int_equal(client_remove(command.connection, command.sets[0], 0)->removed->members, 0);
    assert_int_equal(client_remove(command.connection, command.sets[1], 0)->removed->members, 1);
    client_close(helper->vmm, &base);
    client_wait_idle(helper->manager);
    wait_until(client_totals(helper->manager).sets == 0);
    command_end(helper, &command);
    expect_no_trace(helper);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_proposal_three),
        helper_test(test_a_command_that_fails),
        helper_test(test_a_command_with_a_bad_descriptor),
        helper_test(test_somebody_dies_in_mid_command),
        helper_test(test_two_commands_at_once),
        helper_test(test_withdrawn_by_its_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

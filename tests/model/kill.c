/* SPDX-License-Identifier: MIT */
/* Helper, VMM and manager, each killed at a thousand points of a session: who is left
 * gets a clear error at once, finds its way to the next helper where that was asked
 * for, and the counts come out right.
 *
 * A point lies before and after each system call by which libfdset talks to the helper.
 * One right after a request is anywhere in its serving, as the helper is another
 * process; and some are killed from outside, wherever they happen to be. */
#include "session.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define ROUNDS 200 /* each takes many times as long */
#else
#define ROUNDS 1000
#endif
#define LONG_ROUNDS 10000

static int rounds(void) {
    const char *is_long = getenv("FDSET_TEST_LONG");
    return is_long && *is_long ? LONG_ROUNDS : ROUNDS;
}

/* The same in every run. */
static unsigned choose(unsigned round, unsigned sides) {
    uint64_t mixed = (round + 1) * 0x9e3779b97f4a7c15;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
    return (unsigned)((mixed ^ mixed >> 31) % sides);
}

/* ------------------------------------------------------- the helper is killed */

/* Every call fails at once and says why; what was opened stays open. */
static void expect_clear_errors(void) {
    static const deed calls[] = {subscribe, add_first, query, open_disk, open_many, hold, submit};
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        bool managers_own = i < 3;
        if (managers_own ? !session.manager : !session.vmm)
            continue;
        assert_int_equal(calls[i](), -ECONNRESET);
        assert_true(strlen(fdset_error_text()) > 8);
    }
    for (int i = 0; i < session.count; i++)
        assert_true(fcntl(session.fds[i], F_GETFL) >= 0);
    if (session.vmm && session.count > 0)
        assert_int_equal(close_one(), 0);
    if (session.vmm)
        dispatch();
}

/* Tries as long as the plan says that it is down. */
static void succeed(deed wanted) {
    int result;
    for (time_t began = time(NULL); (result = wanted()) != 0; be_patient(began, "a reconnect"))
        assert_int_equal(result, -ECONNRESET);
}

/* The next helper's counts are of what it has given itself. */
static void expect_reconnected(struct helper *helper) {
    int old = session.count;
    if (!session.manager)
        succeed(connect_manager);
    if (!session.vmm)
        succeed(connect_vmm);
    succeed(add_first);
    succeed(open_disk);
    while (old > 0) { /* the oldest first, so that what is new stays */
        assert_int_equal(fdset_close(session.vmm, session.fds[0]), 0);
        memmove(session.fds, session.fds + 1, (size_t)--session.count * sizeof(int));
        old--;
    }
    dispatch();
    assert_int_equal(fdset_unhold(session.vmm, "/dev/fdset/1"), 0); /* all is worked off */
    Totals totals = client_totals(helper->manager);
    assert_int_equal(totals.leases, 1);
    assert_int_equal(totals.opens, 1);
    assert_int_equal(totals.holds, 0);
    assert_int_equal(totals.members, 2);
    assert_int_equal(session.downs, session.ups);
}

/* The harness's own connections to one that is no more. */
static void forget_clients(struct helper *helper) {
    while (helper->clients)
        helper_forget(helper, helper->clients);
}

static void kill_helper(struct helper *helper, int round, int points) {
    session_begin(helper, round % 2);
    aim_at(helper->pid, 1 + (int)choose((unsigned)round, (unsigned)points));
    int result = play(all_deeds);
    aim_at(0, -1);
    if (result != 0 && result != -ECONNRESET && result != -ECONNREFUSED)
        fail_msg("round %d: %s (%d)", round, fdset_error_text(), result);
    kill(helper->pid, SIGKILL); /* where the last points were too late for it */
    assert_int_equal(helper_wait(helper), 128 + SIGKILL);
    forget_clients(helper);
    expect_clear_errors();
    helper_start(NULL);
    if (session.reconnects)
        expect_reconnected(helper);
    else if (session.manager)
        assert_int_equal(query(), -ECONNRESET);
    session_end();
}

static void test_helper_killed(void **state) {
    struct helper *helper = helper_start(NULL);
    make_files();
    session_begin(helper, false);
    int points = count_points(all_deeds);
    fdset_vmm_free(session.vmm); /* with an open under way */
    session.vmm = NULL;
    session_end();
    for (int round = 0; round < rounds(); round++)
        kill_helper(helper, round, points);
}

/* ------------------------------------------------------ one of the others is */

static void start_anew(void) {
    fdset_vmm_free(session.vmm);
    fdset_manager_free(session.manager);
    session.vmm = NULL;
    session.manager = NULL;
    while (session.count > 0)
        close(session.fds[--session.count]);
}

/* In a process of its own, over and over where it is killed from outside. Never
 * returns: at the latest it is killed when it has done all. */
static void live(const deed *deeds, bool over_and_over) {
    int result = play(deeds);
    /* Its own last life may not be over yet when the next begins. */
    while (over_and_over && (result == 0 || result == -EBUSY)) {
        start_anew();
        result = play(deeds);
    }
    if (result == 0)
        kill(getpid(), SIGKILL);
    fprintf(stderr, "# %s\n", fdset_error_text());
    _exit(1);
}

static pid_t start_victim(const deed *deeds, int left) {
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        aim_at(getpid(), left);
        live(deeds, left < 0);
    }
    return pid;
}

/* Kills it at the point, or after so many questions to the helper; until only so many
 * connections are left. */
static void kill_victim(struct helper *helper, const deed *deeds, int round, int points,
                        uint32_t connections) {
    int status, left = 1 + (int)choose((unsigned)round, (unsigned)points);
    bool from_outside = round % 3 == 0;
    pid_t pid = start_victim(deeds, from_outside ? -1 : left);
    for (int i = 0; from_outside && i < left; i++)
        client_totals(helper->manager);
    if (from_outside)
        kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        fail_msg("round %d: status %#x", round, status);
    Totals totals;
    for (time_t began = time(NULL);; be_patient(began, "the end of one who was killed")) {
        totals = client_totals(helper->manager);
        if (totals.connections == connections && totals.settling == 0)
            break;
    }
}

static bool is_locked(void) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    assert_int_equal(fcntl(session.other, F_OFD_GETLK, &lock), 0);
    return lock.l_type != F_UNLCK;
}

/* All that it had is free, and as the manager gave it. */
static void expect_nothing_left_of_vmm(struct helper *helper, int flags, int descriptors) {
    Totals totals = client_totals(helper->manager);
    assert_int_equal(totals.leases, 1); /* the other VMM's */
    assert_int_equal(totals.holds, 0);
    assert_int_equal(totals.waiting, 0);
    assert_int_equal(totals.opens, totals.closes + totals.hangups + 1);
    assert_int_equal(fcntl(session.disk, F_GETFL), flags);
    assert_false(is_locked());
    /* One killed while it connected may be accepted and found dead only now. */
    for (time_t began = time(NULL); helper_descriptors(helper) != descriptors;)
        be_patient(began, "the descriptors of one who was killed");
    struct opened again = client_open_set(helper->vmm, 1, O_RDWR);
    assert_true(again.fd >= 0);
    client_close(helper->vmm, &again);
    client_barrier(helper->vmm);
    client_wait_settled(helper->manager);
}

static void test_vmm_killed(void **state) {
    struct helper *helper = helper_start(NULL);
    make_files();
    session_begin(helper, false);
    assert_int_equal(connect_manager() || add_first(), 0);
    client_add_one(helper->manager, 2, file_open("other", O_RDWR));
    struct opened others = client_open_set(helper->vmm, 2, O_RDWR);
    client_wait_settled(helper->manager);
    int flags = fcntl(session.disk, F_GETFL), descriptors = helper_descriptors(helper);
    int points = count_points(vmm_deeds);
    fdset_vmm_free(session.vmm);
    session.vmm = NULL;
    while (session.count > 0)
        close(session.fds[--session.count]);
    for (int round = 0; round < rounds(); round++) {
        kill_victim(helper, vmm_deeds, round, points, 3);
        expect_nothing_left_of_vmm(helper, flags, descriptors);
        assert_true(fcntl(others.fd, F_GETFL) >= 0);
    }
    fdset_manager_free(session.manager);
    session.manager = NULL;
}

/* What it had until its end is gone; what was to stay is there, in whole, and is the
 * next manager's of its label. */
static void expect_manager_inherited(struct helper *helper, int descriptors) {
    client_wait_settled(helper->manager);
    SetInfo *set = client_find_set(helper->manager, 11);
    Totals totals = client_totals(helper->manager);
    assert_null(client_find_set(helper->manager, 10));
    assert_int_equal(totals.subscribers, 0);
    assert_int_equal(totals.added, totals.removed + totals.members);
    assert_int_equal(totals.members % 2, 0);
    struct client *heir = helper_connect_owner(helper, "heir", OWNER);
    set = client_find_set(heir, 11);
    if (set) {
        assert_int_equal(set->n_members, 2);
        assert_int_equal(set->clock_case, FDSET__V1__SET_INFO__CLOCK__NOT_SET);
        assert_false(set->orphaned);
        assert_int_equal(client_remove(heir, 11, 0)->body_case, REPLY(REMOVED));
    }
    set = client_find_set(heir, 12);
    if (set) {
        assert_int_equal(set->n_members, 2);
        assert_int_equal(client_remove(heir, 12, 0)->body_case, REPLY(REMOVED));
    }
    client_leave(helper, heir);
    helper_forget(helper, heir);
    client_wait_settled(helper->manager);
    assert_int_equal(client_totals(helper->manager).members, 0);
    assert_int_equal(helper_descriptors(helper), descriptors);
}

static void test_manager_killed(void **state) {
    struct helper *helper = helper_start(NULL);
    make_files();
    session_begin(helper, false);
    int points = count_points(manager_deeds);
    fdset_manager_free(session.manager);
    session.manager = NULL;
    wait_until(client_totals(helper->manager).connections == 2);
    expect_manager_inherited(helper, helper->descriptors);
    for (int round = 0; round < rounds(); round++) {
        kill_victim(helper, manager_deeds, round, points, 2);
        expect_manager_inherited(helper, helper->descriptors);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_helper_killed),
        helper_test(test_vmm_killed),
        helper_test(test_manager_killed),
    };
    client_patience = 60; /* thousands of rounds, on a machine that has more to do */
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* What a VMM can leave on a description that it has closed, for the next who gets it or for
 * the host: file leases, the owner of its signals, locks. And what nobody can prevent: who
 * keeps a copy beside its Close still shares the description. */
#include "events.h"
#include "scene.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* How an attacker lets go: by a Close, or by its end; with its copy kept or not. */
enum end { CLOSES, HANGS_UP, CLOSES_AND_KEEPS, ENDS };

/* Returns when the helper has done all that follows. Consumes what was opened. */
static void let_go(struct helper *helper, struct client *attacker, struct opened *opened,
                   enum end end) {
    if (end != CLOSES_AND_KEEPS)
        harness_close(opened->fd);
    if (end == HANGS_UP)
        client_hang_up(attacker);
    else
        client_close_leases(attacker, &opened->lease, 1);
    client_wait_idle(helper->manager);
    client_wait_settled(helper->manager);
}

/* A file's owner alone, or root, can set a file lease, and give it back. */
static void give_to_helper(const struct helper *helper, int file) {
    struct stat status;
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/status", helper->pid);
    FILE *lines = fopen(path, "re");
    unsigned user = UINT_MAX;
    assert_non_null(lines);
    while (fgets(path, sizeof(path), lines))
        sscanf(path, "Uid: %u", &user);
    fclose(lines);
    assert_int_equal(fstat(file, &status), 0);
    if (status.st_uid != user)
        assert_int_equal(fchown(file, user, (gid_t)-1), 0);
}

/* A file lease makes everybody wait who opens the file in the way that breaks it. */
static void test_a_file_lease(void **state) {
    for (enum end end = CLOSES; end < ENDS; end++) {
        struct helper *helper = scene_start(NULL);
        int member = file_open("leased", O_RDONLY);
        give_to_helper(helper, member);
        client_add_one(helper->manager, 3, member);
        struct client *attacker = attacker_connect(helper);
        struct opened opened = client_open_set(attacker, 3, O_RDONLY);
        assert_int_equal(fcntl(opened.fd, F_SETLEASE, F_RDLCK), 0);
        assert_int_equal(open(file_path("leased"), O_RDWR | O_NONBLOCK | O_CLOEXEC), -1);
        assert_int_equal(errno, EWOULDBLOCK);
        let_go(helper, attacker, &opened, end);
        assert_int_equal(fcntl(member, F_GETLEASE), F_UNLCK);
        harness_keep(open(file_path("leased"), O_RDWR | O_NONBLOCK | O_CLOEXEC));
        assert_int_equal(harness_end(state), 0);
        assert_int_equal(harness_begin(state), 0);
    }
}

/* Where it is not the helper's to give back, it goes with the description: SECURITY.md. */
static void test_a_file_lease_of_anothers_file(void **state) {
    if (geteuid() != 0)
        skip();
    struct helper *helper = scene_start(NULL);
    int member = file_open("leased", O_RDONLY);
    client_add_one(helper->manager, 3, member);
    harness_close(member);
    struct client *attacker = attacker_connect(helper);
    struct opened opened = client_open_set(attacker, 3, O_RDONLY);
    assert_int_equal(fcntl(opened.fd, F_SETLEASE, F_RDLCK), 0);
    let_go(helper, attacker, &opened, CLOSES);
    assert_int_equal(open(file_path("leased"), O_RDWR | O_NONBLOCK | O_CLOEXEC), -1);
    assert_int_equal(errno, EWOULDBLOCK);
    client_remove(helper->manager, 3, 0);
    harness_keep(open(file_path("leased"), O_RDWR | O_NONBLOCK | O_CLOEXEC));
}

/* The signal would go to a process of the attacker's choice, for what others do. */
static void test_the_owner_of_signals(void **state) {
    for (enum end end = CLOSES; end < ENDS; end++) {
        struct helper *helper = scene_start(NULL);
        struct f_owner_ex owner = {.type = F_OWNER_PID, .pid = getpid()};
        assert_int_equal(mkfifo(file_path("fifo"), 0600), 0);
        int member = harness_keep(open(file_path("fifo"), O_RDWR | O_CLOEXEC));
        client_add_one(helper->manager, 3, member);
        struct client *attacker = attacker_connect(helper);
        struct opened opened = client_open_set(attacker, 3, O_RDWR);
        assert_int_equal(fcntl(opened.fd, F_SETOWN_EX, &owner), 0);
        assert_int_equal(fcntl(opened.fd, F_SETSIG, SIGUSR1), 0);
        assert_int_equal(fcntl(opened.fd, F_SETFL, O_RDWR | O_ASYNC), 0);
        let_go(helper, attacker, &opened, end);
        assert_int_equal(fcntl(member, F_GETFL) & O_ASYNC, 0);
        assert_int_equal(fcntl(member, F_GETOWN), 0);
        assert_int_equal(fcntl(member, F_GETSIG), 0);
        assert_int_equal(harness_end(state), 0);
        assert_int_equal(harness_begin(state), 0);
    }
}

/* flock(2) and byte ranges are two kinds of locks: each by its own. */
static void test_locks(void **state) {
    for (enum end end = CLOSES; end < ENDS; end++) {
        struct helper *helper = scene_start(NULL);
        struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
        int other = file_open("disk", O_RDWR);
        struct client *attacker = attacker_connect(helper);
        struct opened opened = client_open_set(attacker, VICTIMS, O_RDWR);
        assert_int_equal(flock(opened.fd, LOCK_EX), 0);
        assert_int_equal(fcntl(opened.fd, F_OFD_SETLK, &range), 0);
        assert_int_equal(flock(other, LOCK_EX | LOCK_NB), -1);
        let_go(helper, attacker, &opened, end);
        assert_int_equal(fcntl(other, F_OFD_SETLK, &range), 0);
        assert_int_equal(flock(other, LOCK_EX | LOCK_NB), 0);
        range.l_type = F_UNLCK;
        assert_int_equal(fcntl(other, F_OFD_SETLK, &range), 0);
        victim_expect_served(helper);
        assert_int_equal(harness_end(state), 0);
        assert_int_equal(harness_begin(state), 0);
    }
}

static void expect_clean(int fd, int other) {
    assert_int_equal(fcntl(fd, F_GETOWN), 0);
    assert_int_equal(fcntl(fd, F_GETSIG), 0);
    assert_int_equal(flock(other, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(flock(other, LOCK_UN), 0);
}

static void leave_behind(struct client *attacker) {
    struct opened opened = client_open_set(attacker, VICTIMS, O_RDWR);

    assert_int_equal(flock(opened.fd, LOCK_EX), 0);
    assert_int_equal(fcntl(opened.fd, F_SETOWN, getpid()), 0);
    assert_int_equal(fcntl(opened.fd, F_SETSIG, SIGUSR1), 0);
    client_close(attacker, &opened);
}

/* What is put off is done before another has the description, of this virtual machine or not. */
static void test_who_opens_at_once(void **state) {
    struct helper *helper = scene_start(NULL);
    struct client *attacker = attacker_connect(helper), *second = attacker_connect(helper);
    int other = file_open("disk", O_RDWR);

    for (int i = 0; i < 100; i++) {
        leave_behind(attacker);
        client_barrier(attacker);
        struct client *next = i % 2 ? helper->vmm : second;
        struct opened mine = client_open_set(next, VICTIMS, O_RDWR);
        expect_clean(mine.fd, other);
        client_close(next, &mine);
        client_barrier(next);
    }
}

/* Nor is it put off for ever where nobody asks, nor where others always do; who removes the
 * member, and has a copy, gets it clean. */
static void test_when_nobody_asks(void **state) {
    struct helper *helper = scene_start(NULL);
    struct client *attacker = attacker_connect(helper);
    int other = file_open("disk", O_RDWR), member = scene_disk();

    leave_behind(attacker);
    wait_until(fcntl(member, F_GETOWN) == 0);
    expect_clean(member, other);
    leave_behind(attacker);
    for (time_t began = time(NULL); fcntl(member, F_GETOWN) != 0;) {
        struct opened opened = client_open_set(helper->vmm, SHARED, O_RDONLY);
        client_close(helper->vmm, &opened);
        be_patient(began, "an end of what was put off");
    }
    expect_clean(member, other);
    leave_behind(attacker);
    client_barrier(attacker);
    client_remove(helper->manager, VICTIMS, 0);
    expect_clean(member, other);
}

/* The next holder finds the description as the manager has added it. */
static void test_the_next_holder(void **state) {
    struct helper *helper = scene_start(NULL);
    struct client *attacker = attacker_connect(helper);
    struct opened opened = client_open_set(attacker, VICTIMS, O_RDWR);

    assert_int_equal(fcntl(opened.fd, F_SETFL, O_RDWR | O_APPEND | O_NONBLOCK), 0);
    let_go(helper, attacker, &opened, CLOSES);
    victim_expect_served(helper);
}

/* SECURITY.md says so, and what the cure is. */
static void test_a_kept_copy_still_changes_flags(void **state) {
    struct helper *helper = scene_start(NULL);
    struct client *attacker = attacker_connect(helper);
    struct opened opened = client_open_set(attacker, VICTIMS, O_RDWR);

    let_go(helper, attacker, &opened, CLOSES_AND_KEEPS);
    struct opened mine = client_open_set(helper->vmm, VICTIMS, O_RDWR);
    assert_int_equal(fcntl(opened.fd, F_SETFL, O_RDWR | O_APPEND), 0);
    assert_int_equal(fcntl(mine.fd, F_GETFL) & O_APPEND, O_APPEND);
    assert_int_equal(lseek(opened.fd, 4711, SEEK_SET), 4711);
    assert_int_equal(lseek(mine.fd, 0, SEEK_CUR), 4711);
    client_close(helper->vmm, &mine);

    /* A member of its own for each lease: nothing is shared then. */
    int another = file_open("disk", O_RDWR);
    client_add_set(helper->manager, 4, LIFETIME(ONCE), &(struct new_member){.fd = another}, 1);
    mine = client_open_set(helper->vmm, 4, O_RDWR);
    assert_serves(mine.fd, another, O_RDWR);
    assert_int_equal(client_open_set(attacker, 4, O_RDWR).fd, -1);
    client_close(helper->vmm, &mine);
}

int main(void) {
    /* What tells of a lease that is broken, and of a description that is ready. */
    signal(SIGIO, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    const struct CMUnitTest tests[] = {
        helper_test(test_a_file_lease),         helper_test(test_a_file_lease_of_anothers_file),
        helper_test(test_the_owner_of_signals), helper_test(test_locks),
        helper_test(test_who_opens_at_once),    helper_test(test_when_nobody_asks),
        helper_test(test_the_next_holder),      helper_test(test_a_kept_copy_still_changes_flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

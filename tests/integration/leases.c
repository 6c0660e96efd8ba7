/* SPDX-License-Identifier: MIT */
/* How a lease ends: by Close, by its VMM's end, and with its locks and flags. */
#include "harness.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* QEMU's image locks: bytes from 100 and from 200. */
static int lock_at(int fd, short type, off_t start) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = 1};
    return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

/* Whether a new description of the test's disk could lock this byte for writing. */
static bool locked(off_t start) {
    int fd = open(file_path("disk"), O_RDWR | O_CLOEXEC);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = 1};
    assert_int_equal(fcntl(fd, F_OFD_GETLK, &lock), 0);
    close(fd);
    return lock.l_type != F_UNLCK;
}

/* ------------------------------------------------------------------- Close */

static void test_close_ends_a_lease(void **state) {
    struct helper *helper = helper_start(NULL);
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    struct opened one = client_open_set(helper->vmm, 1, O_RDWR);
    struct opened two = client_open_set(helper->vmm, 1, O_RDWR);
    assert_int_not_equal(one.lease, two.lease);
    assert_int_equal(client_totals(helper->manager).leases, 2);
    client_close(helper->vmm, &one);
    client_barrier(helper->vmm);
    Totals totals = client_totals(helper->manager);
    assert_int_equal(totals.leases, 1);
    assert_int_equal(totals.opens, 2);
    assert_int_equal(totals.closes, 1);
    assert_int_equal(totals.hangups, 0);
}

static void test_close_of_many_and_of_nonsense(void **state) {
    struct helper *helper = helper_start(NULL);
    uint64_t leases[64];
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    for (int i = 0; i < 30; i++)
        leases[2 * i] = client_open_set(helper->vmm, 1, O_RDWR).lease;
    for (int i = 0; i < 30; i++)
        leases[2 * i + 1] = i % 2 ? 0 : leases[2 * i] + 1000000;
    leases[60] = leases[0]; /* twice in one request */
    leases[61] = UINT32_MAX;
    client_close_leases(helper->vmm, leases, 62);
    client_close_leases(helper->vmm, NULL, 0);
    client_barrier(helper->vmm);
    Totals totals = client_totals(helper->manager);
    assert_int_equal(totals.leases, 0);
    assert_int_equal(totals.closes, 30);
}

static void test_another_vmms_lease_is_ignored(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *other = helper_connect(helper, ROLE(VMM), "other vm");
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    struct opened opened = client_open_set(helper->vmm, 1, O_RDWR);
    client_close_leases(other, &opened.lease, 1);
    client_barrier(other);
    assert_int_equal(client_totals(helper->manager).leases, 1);
    assert_int_equal(client_open_set(other, 1, O_RDWR).code, CODE(BUSY));
}

static void test_lease_ids_do_not_come_back(void **state) {
    struct helper *helper = helper_start(NULL);
    uint32_t last = 0;
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    for (int i = 0; i < 100; i++) {
        struct opened opened = client_open_set(helper->vmm, 1, O_RDWR);
        assert_true(opened.lease > last);
        last = opened.lease;
        client_close(helper->vmm, &opened);
    }
}

static void test_hangup_ends_all(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *vmm = helper_connect(helper, ROLE(VMM), "short life");
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    client_add_one(helper->manager, 2, file_open("log", O_WRONLY));
    client_open_set(vmm, 1, O_RDWR);
    client_open_set(vmm, 1, O_RDWR);
    client_open_set(vmm, 2, O_WRONLY);
    client_hang_up(vmm);
    client_wait_idle(helper->manager);
    assert_int_equal(client_totals(helper->manager).hangups, 3);
    assert_true(client_open_set(helper->vmm, 1, O_RDWR).fd >= 0);
}

/* ------------------------------------------------------------------- locks */

/* With native fdsets the second round fails: the first one's lock is still there. */
static void test_reopen_again_and_again(void **state) {
    struct helper *helper = helper_start(NULL);
    client_add_one(helper->manager, 1, file_open("disk", O_RDONLY));
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    struct opened old = client_open_set(helper->vmm, 1, O_RDONLY);
    assert_int_equal(lock_at(old.fd, F_RDLCK, 100), 0);
    for (int round = 0; round < 8; round++) {
        /* As QEMU does: the new one is opened and locked, then the old one closed. */
        bool writing = round % 2 == 0;
        struct opened new = client_open_set(helper->vmm, 1, writing ? O_RDWR : O_RDONLY);
        assert_int_equal(new.code, 0);
        assert_int_equal(lock_at(new.fd, F_RDLCK, 100), 0);
        if (writing)
            assert_int_equal(lock_at(new.fd, F_RDLCK, 101), 0);
        client_close(helper->vmm, &old);
        client_barrier(helper->vmm);
        client_wait_settled(helper->manager);
        if (writing)
            assert_int_equal(lock_at(new.fd, F_WRLCK, 100), 0);
        else
            assert_false(locked(101));
        assert_int_equal(lock_at(new.fd, F_RDLCK, 100), 0);
        old = new;
    }
}

static void test_lock_goes_with_the_last_lease(void **state) {
    struct helper *helper = helper_start(NULL);
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    struct opened one = client_open_set(helper->vmm, 1, O_RDWR);
    struct opened two = client_open_set(helper->vmm, 1, O_RDWR);
    assert_int_equal(lock_at(one.fd, F_WRLCK, 100), 0);
    assert_int_equal(lock_at(one.fd, F_WRLCK, (off_t)1 << 62), 0);
    client_close(helper->vmm, &one);
    client_barrier(helper->vmm);
    assert_true(locked(100));
    client_close(helper->vmm, &two);
    client_barrier(helper->vmm);
    client_wait_settled(helper->manager);
    assert_false(locked(100));
    assert_false(locked((off_t)1 << 62));
}

/* The last VMM is found to take no more as the helper's last turn ends. */
static void test_locks_go_with_the_helper(void **state) {
    struct helper *helper = helper_start(NULL);
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    client_wait_settled(helper->manager);
    struct opened opened = client_open_set(helper->vmm, 1, O_RDWR);
    assert_int_equal(lock_at(opened.fd, F_WRLCK, 100), 0);
    assert_true(locked(100));
    helper->vmm->may_end = true;
    assert_int_equal(shutdown(helper->vmm->socket, SHUT_RD), 0);
    client_send_open(helper->vmm, "/dev/fdset/9", O_RDWR);
    assert_int_equal(helper_wait(helper), 0);
    assert_false(locked(100));
}

/* The VMM says Close but keeps a copy: it is served no worse than it asked for. */
static void test_lock_of_another_member_stays(void **state) {
    struct helper *helper = helper_start(NULL);
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    struct opened one = client_open_set(helper->vmm, 1, O_RDWR);
    struct opened two = client_open_set(helper->vmm, 1, O_RDWR);
    assert_int_not_equal(one.member, two.member);
    assert_int_equal(lock_at(one.fd, F_WRLCK, 100), 0);
    assert_int_equal(lock_at(two.fd, F_WRLCK, 200), 0);
    client_close(helper->vmm, &one);
    client_barrier(helper->vmm);
    client_wait_settled(helper->manager);
    assert_false(locked(100));
    assert_true(locked(200));
}

static void test_keep_locks(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR);
    struct new_member member = {.fd = disk, .keep_locks = true};
    client_add_set(helper->manager, 1, 0, &member, 1);
    struct opened opened = client_open_set(helper->vmm, 1, O_RDWR);
    assert_int_equal(lock_at(opened.fd, F_WRLCK, 100), 0);
    assert_int_equal(flock(opened.fd, LOCK_EX), 0);
    client_close(helper->vmm, &opened);
    client_barrier(helper->vmm);
    client_wait_settled(helper->manager);
    assert_true(locked(100));
    assert_int_equal(flock(file_open("disk", O_RDWR), LOCK_EX | LOCK_NB), -1);
}

/* ---------------------------------------------------- a VMM that is killed */

/* Runs `body` in a child with a connection of its own, until it kills itself. */
static void killed_client(struct helper *helper, int role, void (*body)(struct client *)) {
    struct client *client = helper_connect_silent(helper, role);
    pid_t pid = fork();
    int status;
    assert_true(pid >= 0);
    if (pid == 0) {
        /* Only this connection: the others must not outlive the parent in us. */
        for (struct client *other = helper->clients; other; other = other->next)
            if (other != client)
                close(other->socket);
        setenv("CMOCKA_TEST_ABORT", "1", 1); /* a check that fails ends the child */
        client_hello(client, "doomed");
        body(client);
        kill(getpid(), SIGKILL);
    }
    client_hang_up(client);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void locks_and_dies(struct client *client) {
    for (int i = 0; i < 3; i++) {
        struct opened opened = client_open_set(client, 1, O_RDWR);
        if (opened.fd < 0 || lock_at(opened.fd, F_WRLCK, 100) < 0)
            _exit(1);
    }
}

static void test_killed_vmm_gives_back_leases_and_locks(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR);
    client_add_one(helper->manager, 1, disk);
    for (int round = 0; round < 3; round++) {
        killed_client(helper, ROLE(VMM), locks_and_dies);
        client_wait_idle(helper->manager);
        assert_false(locked(100));
        struct opened opened = client_open_set(helper->vmm, 1, O_RDWR);
        assert_serves(opened.fd, disk, O_RDWR);
        assert_int_equal(lock_at(opened.fd, F_WRLCK, 100), 0);
        client_close(helper->vmm, &opened);
        client_barrier(helper->vmm);
    }
}

/* Requests sent and answered, but their replies, with descriptors in flight, never read. */
static void asks_and_dies(struct client *client) {
    for (int i = 0; i < 20; i++)
        client_send_open(client, "/dev/fdset/1", O_RDWR | O_DIRECT);
}

static void test_vmm_killed_in_mid_request(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR);
    client_add_one(helper->manager, 1, disk);
    assert_held(helper, disk, 1);
    for (int round = 0; round < 20; round++)
        killed_client(helper, ROLE(VMM), asks_and_dies);
    while (client_totals(helper->manager).connections > 2)
        ;
    client_wait_idle(helper->manager);
    assert_held(helper, disk, 1);
    assert_serves(disk, disk, O_RDWR);
    assert_serves(client_open_set(helper->vmm, 1, O_RDWR).fd, disk, O_RDWR);
}

static struct new_member half_added[3];

static void adds_and_dies(struct client *client) {
    struct new_set set = {1, LIFETIME(CONNECTION), half_added, 3};
    client_send_add(client, &set, 1);
}

static void test_manager_killed_in_mid_add(void **state) {
    struct helper *helper = helper_start(NULL);
    for (int i = 0; i < 3; i++)
        half_added[i].fd = file_open("disk", O_RDWR);
    for (int round = 0; round < 20; round++)
        killed_client(helper, ROLE(MANAGER), adds_and_dies);
    Totals totals;
    do
        totals = client_totals(helper->manager);
    while (totals.connections > 2 || totals.settling > 0);
    assert_int_equal(totals.sets, 0);
    assert_int_equal(totals.members, 0);
    assert_held(helper, half_added[0].fd, 0);
}

/* A copy that the VMM passed on is not the helper's business: the connection is. */
static void test_child_of_the_vmm_keeps_the_connection(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *vmm = helper_connect(helper, ROLE(VMM), "forks");
    int go[2];
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    client_open_set(vmm, 1, O_RDWR);
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        close(go[1]);
        while (read(go[0], &byte, 1) > 0)
            ;
        _exit(0);
    }
    close(go[0]);
    client_hang_up(vmm);
    client_barrier(helper->vmm);
    assert_int_equal(client_totals(helper->manager).leases, 1);
    close(go[1]);
    waitpid(pid, NULL, 0);
    client_wait_idle(helper->manager);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_close_ends_a_lease),
        helper_test(test_close_of_many_and_of_nonsense),
        helper_test(test_another_vmms_lease_is_ignored),
        helper_test(test_lease_ids_do_not_come_back),
        helper_test(test_hangup_ends_all),
        helper_test(test_reopen_again_and_again),
        helper_test(test_lock_goes_with_the_last_lease),
        helper_test(test_locks_go_with_the_helper),
        helper_test(test_lock_of_another_member_stays),
        helper_test(test_keep_locks),
        helper_test(test_killed_vmm_gives_back_leases_and_locks),
        helper_test(test_vmm_killed_in_mid_request),
        helper_test(test_manager_killed_in_mid_add),
        helper_test(test_child_of_the_vmm_keeps_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Closing may wait for a server, as does the end of a process that still has
 * something of it open. */
#include "scene.h"
#include "settle/settle.h"

#include "events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* ----------------------------------------------------------------- closing */

static void test_stuck_close(void **state) {
    struct helper *helper = scene_start(NULL);
    struct client *observer = scene_listen(helper, EVENT(SET_GONE));
    struct mount *stuck = mount_new(), *answers = mount_new();
    client_add_one(helper->manager, 1, mount_open(stuck, 0, O_RDWR));
    client_add_one(helper->manager, 2, mount_open(answers, 0, O_RDWR));
    client_wait_settled(helper->manager);
    mount_stop(stuck, STUCK_FLUSH);
    assert_int_equal(client_remove_at_once(helper->manager, 1, 0)->removed->members, 1);
    pid_t thread = mount_await(stuck, STUCK_FLUSH);
    assert_settle_thread(helper, thread);
    assert_int_equal(state_of(helper, 1), MEMBER(CLOSING));
    assert_int_equal(client_open_set(helper->vmm, 1, O_RDWR).code, CODE(EMPTY_SET));

    for (int round = 0; round < 5; round++) {
        struct opened opened = client_open_set(helper->vmm, 2, O_RDWR);
        assert_int_equal(lock_byte(opened.fd), 0);
        client_close(helper->vmm, &opened);
        assert_int_not_equal(mount_await(answers, STUCK_SETLK), thread);
    }
    client_barrier(helper->vmm);
    assert_int_equal(client_remove_at_once(helper->manager, 2, 0)->removed->members, 1);
    assert_int_equal(client_event(observer, EVENT(SET_GONE))->set, 2);
    assert_int_not_equal(mount_await(answers, STUCK_FLUSH), thread);
    assert_locals_served(helper, helper->vmm);
    assert_int_equal(state_of(helper, 1), MEMBER(CLOSING));
    mount_go_on(stuck, STUCK_FLUSH);
    assert_int_equal(client_event(observer, EVENT(SET_GONE))->set, 1);
}

/* Who removes waits for the close, and nobody else does; as long as it said, or until it
 * hangs up. Where too many wait, the next hears at once that it is not closed. */
static void test_a_removal_waits_for_a_stuck_close(void **state) {
    enum { CONNECTIONS = 5, LAST = CONNECTIONS + 3 };
    const char *const options[] = {"--limit", "connections=5", NULL};
    struct helper *helper = scene_start(options);
    uint32_t before = client_totals(helper->manager).connections;
    struct client *hasty = helper_connect(helper, ROLE(MANAGER), "hasty");
    struct mount *mount = mount_new();
    for (int set = 1; set <= LAST; set++)
        client_add_one(helper->manager, set, mount_open(mount, 0, O_RDWR));
    client_wait_settled(helper->manager);
    mount_stop(mount, STUCK_FLUSH);

    Fdset__V1__Removed *removed =
        client_answer(helper->manager, client_send_remove(helper->manager, 1, 0, 50))->removed;
    assert_int_equal(removed->members, 1);
    assert_int_equal(removed->closing, 1);
    client_send_remove(hasty, 2, 0, -1);
    assert_locals_served(helper, helper->vmm);
    client_hang_up(hasty);
    wait_until(client_totals(helper->manager).connections == before);

    uint32_t patient = client_send_remove(helper->manager, 3, 0, 3600000);
    for (int set = 4; set < LAST; set++)
        client_send_remove(helper->manager, set, 0, 3600000);
    removed = client_remove(helper->manager, LAST, 0)->removed;
    assert_int_equal(removed->closing, 1);
    assert_manager_served(helper);
    mount_go_on(mount, STUCK_FLUSH);
    assert_int_equal(client_answer(helper->manager, patient)->removed->closing, 0);
    for (int set = 4; set < LAST; set++)
        assert_int_equal(client_receive(helper->manager)->removed->closing, 0);
    client_wait_settled(helper->manager);
}

/* Runs fdsetctl with these arguments, as long as it takes. Returns its exit status. */
static int fdsetctl(const char *const *arguments) {
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(STDERR_FILENO, STDOUT_FILENO); /* which is the test's */
        execv(arguments[0], (char **)arguments);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Its exit status is 4 where the time was over first, and not for who does not wait. */
static void test_fdsetctl_remove_while_a_close_is_stuck(void **state) {
    const char *program = getenv("FDSETCTL");
    if (!program)
        skip(); /* built without it */
    struct helper *helper = scene_start(NULL);
    struct mount *mount = mount_new();
    for (int set = 1; set <= 4; set++) {
        int fd = mount_open(mount, 0, O_RDWR);
        client_add_one(helper->manager, set, fd);
        harness_close(fd); /* or fdsetctl had it too, and could not end */
    }
    client_wait_settled(helper->manager);
    const char *manage = helper_socket_path(ROLE(MANAGER));
    const char *late[] = {program, "remove", "-S", manage, "--timeout", "50ms", "1", NULL};
    const char *json[] = {program,     "remove", "-S", manage, "--json",
                          "--timeout", "50ms",   "2",  NULL};
    const char *no_wait[] = {program, "remove", "-S", manage, "--no-wait", "3", NULL};
    const char *whole[] = {program, "remove", "-S", manage, "4", NULL};
    mount_stop(mount, STUCK_FLUSH);
    assert_int_equal(fdsetctl(late), 4);
    assert_int_equal(fdsetctl(json), 4);
    assert_int_equal(fdsetctl(no_wait), 0);
    for (int set = 1; set <= 3; set++)
        assert_int_equal(state_of(helper, set), MEMBER(CLOSING));
    mount_go_on(mount, STUCK_FLUSH);
    assert_int_equal(fdsetctl(whole), 0);
    client_wait_settled(helper->manager);
    assert_int_equal(client_totals(helper->manager).sets, LOCALS);
}

/* A file system that was mounted without allow_other does not tell the helper, which is
 * another user, what the descriptor is of. The refusal is of that one add. */
static void test_a_file_system_of_one_user(void **state) {
    struct helper *helper = scene_start(NULL);
    struct new_member member = {.fd = mount_open(mount_new_private(), 0, O_RDWR)};
    struct new_set set = {1, LIFETIME(KEEP), &member, 1};
    Reply *reply = client_add(helper->manager, &set, 1);
    assert_refused(reply, CODE(BAD_FD), EBADF);
    assert_non_null(strstr(reply->error->text, "Permission denied"));
    client_wait_settled(helper->manager);
    assert_held(helper, member.fd, 0);
    assert_locals_served(helper, helper->vmm);
}

/* The kernel lets go of a descriptor whatever the file system says of it. */
static void test_close_that_fails(void **state) {
    struct helper *helper = scene_start(NULL);
    struct mount *mount = mount_new();
    int before = helper_descriptors(helper);
    client_add_one(helper->manager, 1, mount_open(mount, 0, O_RDWR));
    client_wait_settled(helper->manager);
    mount_stop(mount, STUCK_FLUSH);
    client_remove_at_once(helper->manager, 1, 0);
    mount_await(mount, STUCK_FLUSH);
    mount_fail(mount, STUCK_FLUSH, EIO);
    client_wait_settled(helper->manager);
    assert_int_equal(client_totals(helper->manager).sets, LOCALS);
    assert_int_equal(helper_descriptors(helper), before);
}

#define REFUSED_ROUNDS 30

/* More descriptors than the helper has room for, none of which it can close. */
static void test_refused_descriptors_of_a_stuck_file(void **state) {
    const char *const options[] = {"--limit", "members=500", NULL};
    struct helper *helper = scene_start(options);
    struct mount *mount = mount_new();
    int fds[FDSET_MAX_DESCRIPTORS], before = helper_descriptors(helper), most = before;
    int file = mount_open(mount, 0, O_RDWR);
    for (int i = 0; i < FDSET_MAX_DESCRIPTORS; i++)
        fds[i] = file;
    mount_stop(mount, STUCK_FLUSH);
    for (int round = 0; round < REFUSED_ROUNDS; round++) {
        Fdset__V1__AddFds add = FDSET__V1__ADD_FDS__INIT;
        Request request = FDSET__V1__REQUEST__INIT;
        request.body_case = FDSET__V1__REQUEST__BODY_ADD_FDS;
        request.add_fds = &add;
        uint32_t serial =
            client_send_announcing(helper->manager, &request, 1, fds, FDSET_MAX_DESCRIPTORS);
        assert_refused(client_answer(helper->manager, serial), CODE(DESCRIPTORS), EPROTO);
        assert_locals_served(helper, helper->vmm);
        assert_true(client_totals(helper->manager).settling > 0);
        if (helper_descriptors(helper) > most)
            most = helper_descriptors(helper);
    }
    /* It was one thing and the other: closed later, and not even taken. */
    assert_true(most >= before + FDSET_MAX_DESCRIPTORS);
    assert_true(most < before + REFUSED_ROUNDS * FDSET_MAX_DESCRIPTORS);
    mount_go_on(mount, STUCK_FLUSH);
    client_wait_settled(helper->manager);
    assert_int_equal(helper_descriptors(helper), before);
    assert_manager_served(helper);
}

/* It is told of, but is no set's and has no number, least of all that of another. */
static void test_a_refused_descriptor_that_is_stuck_is_no_member(void **state) {
    struct helper *helper = scene_start(NULL);
    struct client *observer = scene_listen(helper, EVENT(SETTLE_STUCK));
    struct mount *mount = mount_new();
    struct new_member member = {.fd = mount_open(mount, 0, O_RDWR)};
    struct new_set set = {LOCAL, LIFETIME(CONNECTION), &member, 1};
    mount_stop(mount, STUCK_FLUSH);
    assert_refused(client_add(helper->manager, &set, 1), CODE(OTHER_FILE), EXDEV);
    const Event *event = client_event(observer, EVENT(SETTLE_STUCK));
    assert_int_equal(event->which_case, FDSET__V1__EVENT__WHICH__NOT_SET);
    assert_int_equal(event->member, 0);
    mount_go_on(mount, STUCK_FLUSH);
    client_wait_settled(helper->manager);
}

/* ----------------------------------------------------- all threads are stuck */

static void test_as_many_stuck_servers_as_threads(void **state) {
    struct helper *helper = scene_start(NULL);
    struct mount *mounts[SETTLE_THREADS + 1];
    for (int i = 0; i <= SETTLE_THREADS; i++) {
        mounts[i] = mount_new();
        client_add_one(helper->manager, i, mount_open(mounts[i], 0, O_RDWR));
    }
    client_wait_settled(helper->manager);
    for (int i = 0; i <= SETTLE_THREADS; i++) {
        mount_stop(mounts[i], STUCK_FLUSH);
        assert_int_equal(client_remove_at_once(helper->manager, i, 0)->removed->members, 1);
        if (i < SETTLE_THREADS)
            assert_settle_thread(helper, mount_await(mounts[i], STUCK_FLUSH));
        assert_int_equal(state_of(helper, i), MEMBER(CLOSING));
        assert_locals_served(helper, helper->vmm);
    }
    assert_int_equal(client_totals(helper->manager).settling, SETTLE_THREADS + 1);

    /* What is new can be opened, though nobody can yet say what it is on. */
    int file = file_open("new", O_RDWR);
    client_add_one(helper->manager, 30, file);
    assert_serves(client_open_set(helper->vmm, 30, O_RDWR).fd, file, O_RDWR);

    mount_go_on(mounts[0], STUCK_FLUSH);
    mount_await(mounts[SETTLE_THREADS], STUCK_FLUSH);
    for (int i = 1; i <= SETTLE_THREADS; i++)
        mount_go_on(mounts[i], STUCK_FLUSH);
    client_wait_settled(helper->manager);
    assert_int_equal(client_totals(helper->manager).sets, LOCALS + 1);
}

/* ----------------------------------------------------------------- the end */

static int connect_error(int role) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    strcpy(address.sun_path, helper_socket_path(role));
    int error = connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? errno : 0;
    close(fd);
    return error;
}

/* No process ends in the kernel while a descriptor of it hangs. But it serves
 * nobody any more, and that is what its peers must hear: they may wait for it,
 * and another helper may be waiting to take its place. */
static void assert_gone_for_peers(struct helper *helper, struct client *late) {
    assert_hung_up(helper->manager);
    assert_hung_up(late);
    for (int role = ROLE(VMM); role <= ROLE(OBSERVER); role++)
        assert_int_equal(connect_error(role), ECONNREFUSED);
}

static void test_end_while_an_unlock_is_stuck(void **state) {
    struct helper *helper = scene_start(NULL);
    struct mount *mount = mount_new();
    scene_get_stuck(helper, mount);
    struct client *late = helper_connect(helper, ROLE(OBSERVER), "late");
    client_hang_up(helper->vmm);
    assert_gone_for_peers(helper, late);
    mount_abort(mount);
    assert_int_equal(helper_wait(helper), 0);
}

static void test_end_while_nothing_can_be_closed(void **state) {
    struct helper *helper = scene_start(NULL);
    struct mount *mount = mount_new();
    client_add_one(helper->manager, 1, mount_open(mount, 0, O_RDWR));
    client_wait_settled(helper->manager);
    mount_stop(mount, STUCK_FLUSH);
    struct client *late = helper_connect(helper, ROLE(OBSERVER), "late");
    client_hang_up(helper->vmm);
    assert_gone_for_peers(helper, late);
    mount_await(mount, STUCK_FLUSH); /* its exit, in the kernel */
    mount_abort(mount);
    assert_int_equal(helper_wait(helper), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        mounts_test(test_stuck_close),
        mounts_test(test_a_removal_waits_for_a_stuck_close),
        mounts_test(test_fdsetctl_remove_while_a_close_is_stuck),
        mounts_test(test_a_file_system_of_one_user),
        mounts_test(test_close_that_fails),
        mounts_test(test_refused_descriptors_of_a_stuck_file),
        mounts_test(test_a_refused_descriptor_that_is_stuck_is_no_member),
        mounts_test(test_as_many_stuck_servers_as_threads),
        mounts_test(test_end_while_an_unlock_is_stuck),
        mounts_test(test_end_while_nothing_can_be_closed),
    };
    mounts_prepare();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

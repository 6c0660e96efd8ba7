/* SPDX-License-Identifier: MIT */
/* Unlocking, and asking what a file system is, may wait for a server. They are
 * done on the settle threads: who has nothing to do with that server never
 * notices that it hangs. */
#include "events.h"
#include "scene.h"

#include <errno.h>

/* --------------------------------------------------- a server that answers */

static void test_unlock_on_a_thread(void **state) {
    struct helper *helper = scene_start(NULL);
    struct mount *mount = mount_new();
    int file = mount_open(mount, 0, O_RDWR);
    client_add_one(helper->manager, 1, file);
    assert_settle_thread(helper, mount_await(mount, STUCK_STATFS));
    for (int round = 0; round < 10; round++) {
        struct opened opened = client_open_set(helper->vmm, 1, O_RDWR | O_APPEND);
        assert_serves(opened.fd, file, O_RDWR | O_APPEND);
        assert_int_equal(lock_byte(opened.fd), 0);
        assert_true(mount_locked(mount, 0, LOCKED_BYTE));
        client_close(helper->vmm, &opened);
        /* At once: it waits for what the thread does, and no longer. */
        opened = client_open_set(helper->vmm, 1, O_RDWR);
        assert_serves(opened.fd, file, O_RDWR);
        assert_false(mount_locked(mount, 0, LOCKED_BYTE));
        assert_settle_thread(helper, mount_await(mount, STUCK_SETLK));
        client_close(helper->vmm, &opened);
    }
    client_wait_idle(helper->manager);
    assert_int_equal(client_remove_at_once(helper->manager, 1, 0)->removed->members, 1);
    client_wait_settled(helper->manager);
    assert_settle_thread(helper, mount_await(mount, STUCK_FLUSH));
    assert_int_equal(client_totals(helper->manager).sets, LOCALS);
}

static void test_others_overtake_an_open_that_waits(void **state) {
    struct helper *helper = scene_start(NULL);
    struct mount *mount = mount_new();
    int file = mount_open(mount, 0, O_RDWR);
    client_add_one(helper->manager, 1, file);
    client_wait_settled(helper->manager);
    struct opened opened = client_open_set(helper->vmm, 1, O_RDWR);
    mount_stop(mount, STUCK_SETLK);
    client_close(helper->vmm, &opened);
    uint32_t first = client_send_open(helper->vmm, "/dev/fdset/1", O_RDWR);
    uint32_t second = client_send_open(helper->vmm, "/dev/fdset/10", O_RDWR);
    uint32_t third = client_send_open(helper->vmm, "/dev/fdset/11", O_RDWR);
    assert_local(0, client_opened(helper->vmm, second).fd);
    assert_local(1, client_opened(helper->vmm, third).fd);
    mount_await(mount, STUCK_SETLK);
    mount_go_on(mount, STUCK_SETLK);
    assert_serves(client_opened(helper->vmm, first).fd, file, O_RDWR);
}

/* --------------------------------------- a server that does not: unlocking */

static void test_stuck_unlock(void **state) {
    struct helper *helper = scene_start(NULL);
    struct client *other = helper_connect(helper, ROLE(VMM), "other vm");
    struct client *observer = scene_listen(helper, EVENT(SETTLE_STUCK));
    struct mount *mount = mount_new();
    assert_settle_thread(helper, scene_get_stuck(helper, mount));
    uint32_t waits = client_send_open(helper->vmm, "/dev/fdset/1", O_RDWR);
    for (int round = 0; round < 3; round++) {
        assert_locals_served(helper, helper->vmm);
        assert_locals_served(helper, other);
        assert_manager_served(helper);
    }
    assert_int_equal(client_totals(helper->manager).waiting, 1);
    assert_int_equal(client_event(observer, EVENT(SETTLE_STUCK))->set, 1);
    assert_locals_served(helper, other);
    assert_int_equal(state_of(helper, 1), MEMBER(SETTLING));
    assert_true(mount_locked(mount, 0, LOCKED_BYTE));
    mount_go_on(mount, STUCK_SETLK);
    assert_true(client_opened(helper->vmm, waits).fd >= 0);
    assert_false(mount_locked(mount, 0, LOCKED_BYTE));
    assert_int_equal(state_of(helper, 1), MEMBER(LISTED));
}

static struct client *connect_to_be_answered(struct helper *helper) {
    struct client *vmm = helper_connect_silent(helper, ROLE(VMM));
    Fdset__V1__Hello hello = FDSET__V1__HELLO__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    hello.version = 1;
    hello.features = 1 << FDSET__V1__FEATURE__FEATURE_CLOSE_ANSWER;
    request.body_case = FDSET__V1__REQUEST__BODY_HELLO;
    request.hello = &hello;
    assert_int_equal(client_ask(vmm, &request)->hello->features, hello.features);
    return vmm;
}

static uint32_t send_close(struct client *vmm, struct opened *opened) {
    Fdset__V1__Close closed = FDSET__V1__CLOSE__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    closed.leases = &opened->lease;
    closed.n_leases = 1;
    request.body_case = FDSET__V1__REQUEST__BODY_CLOSE;
    request.close = &closed;
    if (opened->fd >= 0)
        harness_close(opened->fd);
    opened->fd = -1;
    return client_send(vmm, &request, NULL, 0);
}

static void test_close_is_answered_when_it_is_unlocked(void **state) {
    struct helper *helper = scene_start(NULL);
    struct client *vmm = connect_to_be_answered(helper);
    struct mount *mount = mount_new(), *second = mount_new();
    client_add_one(helper->manager, 1, mount_open(mount, 0, O_RDWR));
    client_add_one(helper->manager, 2, mount_open(second, 0, O_RDWR));
    client_wait_settled(helper->manager);
    struct opened opened = client_open_set(vmm, 1, O_RDWR), other = client_open_set(vmm, 2, O_RDWR);
    struct opened local = client_open_set(vmm, LOCAL, O_RDWR);
    assert_int_equal(lock_byte(opened.fd), 0);
    mount_stop(mount, STUCK_SETLK);
    mount_stop(second, STUCK_SETLK);
    uint32_t waits = send_close(vmm, &opened);
    /* What need not wait does not, nor does a second one. */
    assert_int_equal(client_answer(vmm, send_close(vmm, &local))->body_case, REPLY(DONE));
    assert_int_equal(client_answer(vmm, send_close(vmm, &local))->body_case, REPLY(DONE));
    assert_int_equal(client_answer(vmm, send_close(vmm, &other))->body_case, REPLY(DONE));
    assert_locals_served(helper, helper->vmm);
    mount_go_on(mount, STUCK_SETLK);
    assert_int_equal(client_answer(vmm, waits)->body_case, REPLY(DONE));
    assert_false(mount_locked(mount, 0, LOCKED_BYTE));
    mount_go_on(second, STUCK_SETLK);
    client_wait_settled(helper->manager);
}

static void test_hangs_up_before_close_is_answered(void **state) {
    struct helper *helper = scene_start(NULL);
    struct client *vmm = connect_to_be_answered(helper);
    struct mount *mount = mount_new();
    client_add_one(helper->manager, 1, mount_open(mount, 0, O_RDWR));
    client_wait_settled(helper->manager);
    struct opened opened = client_open_set(vmm, 1, O_RDWR);
    mount_stop(mount, STUCK_SETLK);
    send_close(vmm, &opened);
    client_hang_up(vmm);
    assert_locals_served(helper, helper->vmm);
    mount_go_on(mount, STUCK_SETLK);
    client_wait_settled(helper->manager);
}

static void test_answered_close_is_of_one_lease(void **state) {
    struct helper *helper = scene_start(NULL);
    struct client *vmm = connect_to_be_answered(helper);
    Fdset__V1__Close closed = FDSET__V1__CLOSE__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    uint64_t leases[] = {1, 2};
    closed.leases = leases;
    request.body_case = FDSET__V1__REQUEST__BODY_CLOSE;
    request.close = &closed;
    assert_int_equal(client_ask(vmm, &request)->body_case, REPLY(DONE));
    closed.n_leases = 2;
    assert_refused(client_ask(vmm, &request), CODE(ARGUMENT), EINVAL);
}

/* There is no more that could be done, so the member is served again. */
static void test_unlock_that_fails(void **state) {
    struct helper *helper = scene_start(NULL);
    struct mount *mount = mount_new();
    scene_get_stuck(helper, mount);
    uint32_t waits = client_send_open(helper->vmm, "/dev/fdset/1", O_RDWR);
    client_barrier(helper->vmm);
    mount_fail(mount, STUCK_SETLK, EIO);
    struct opened opened = client_opened(helper->vmm, waits);
    assert_int_equal(lock_byte(opened.fd), 0); /* its own, so not in its way */
    client_close(helper->vmm, &opened);
    client_wait_idle(helper->manager);
    assert_int_equal(state_of(helper, 1), MEMBER(LISTED));
    assert_false(mount_locked(mount, 0, LOCKED_BYTE));
}

static void test_second_member_serves_meanwhile(void **state) {
    struct helper *helper = scene_start(NULL);
    struct mount *mount = mount_new();
    scene_get_stuck(helper, mount);
    uint32_t waits = client_send_open(helper->vmm, "/dev/fdset/1", O_RDWR);
    client_barrier(helper->vmm);
    int second = mount_open(mount, 0, O_RDWR);
    client_add_one(helper->manager, 1, second);
    assert_serves(client_opened(helper->vmm, waits).fd, second, O_RDWR);
    assert_int_equal(state_of(helper, 1), MEMBER(SETTLING));
    mount_go_on(mount, STUCK_SETLK);
}

/* Nothing is left that it could wait for, whatever the server does. */
static void test_waiting_open_of_a_removed_member(void **state) {
    struct helper *helper = scene_start(NULL);
    struct mount *mount = mount_new();
    scene_get_stuck(helper, mount);
    uint32_t waits = client_send_open(helper->vmm, "/dev/fdset/1", O_RDWR);
    client_barrier(helper->vmm);
    assert_int_equal(client_remove_at_once(helper->manager, 1, 0)->removed->members, 1);
    assert_int_equal(client_opened(helper->vmm, waits).code, CODE(EMPTY_SET));
    assert_int_equal(state_of(helper, 1), MEMBER(CLOSING));
    mount_go_on(mount, STUCK_SETLK);
}

static void test_waiting_open_of_a_set_whose_time_is_over(void **state) {
    struct helper *helper = scene_start(NULL);
    struct mount *mount = mount_new();
    struct new_member member = {.fd = mount_open(mount, 0, O_RDWR)};
    struct new_set idle = {1, LIFETIME(IDLE), &member, 1, .idle_ms = 1000};
    assert_int_equal(client_add(helper->manager, &idle, 1)->body_case, REPLY(ADDED));
    struct opened opened = client_open_set(helper->vmm, 1, O_RDWR);
    client_wait_settled(helper->manager);
    mount_stop(mount, STUCK_SETLK);
    client_close(helper->vmm, &opened);
    uint32_t waits = client_send_open(helper->vmm, "/dev/fdset/1", O_RDWR);
    assert_int_equal(client_opened(helper->vmm, waits).code, CODE(EMPTY_SET));
    assert_int_equal(state_of(helper, 1), MEMBER(CLOSING));
    mount_go_on(mount, STUCK_SETLK);
}

static void test_vmm_hangs_up_while_it_waits(void **state) {
    struct helper *helper = scene_start(NULL);
    struct client *other = helper_connect(helper, ROLE(VMM), "short life");
    struct mount *mount = mount_new();
    scene_get_stuck(helper, mount);
    client_send_open(other, "/dev/fdset/1", O_RDWR);
    client_barrier(other);
    assert_int_equal(client_totals(helper->manager).waiting, 1);
    client_hang_up(other);
    while (client_totals(helper->manager).waiting > 0)
        ;
    mount_go_on(mount, STUCK_SETLK);
    assert_true(client_open_set(helper->vmm, 1, O_RDWR).fd >= 0);
}

/* -------------------------------------------- asking what file system it is */

static void test_stuck_statfs(void **state) {
    struct helper *helper = scene_start(NULL);
    struct mount *mount = mount_new();
    int file = mount_open(mount, 0, O_RDWR);
    mount_stop(mount, STUCK_STATFS);
    client_add_one(helper->manager, 1, file);
    assert_settle_thread(helper, mount_await(mount, STUCK_STATFS));
    struct opened opened = client_open_set(helper->vmm, 1, O_RDWR);
    assert_serves(opened.fd, file, O_RDWR);
    assert_int_equal(lock_byte(opened.fd), 0);
    assert_serves(client_open_set(helper->vmm, 1, O_RDWR).fd, file, O_RDWR);
    assert_int_equal(state_of(helper, 1), MEMBER(LISTED));
    assert_locals_served(helper, helper->vmm);
    assert_manager_served(helper);
    client_close(helper->vmm, &opened);
    client_barrier(helper->vmm);
    assert_int_equal(state_of(helper, 1), MEMBER(LISTED)); /* the other lease is there */
    mount_go_on(mount, STUCK_STATFS);
    client_wait_settled(helper->manager);
}

/* Until it is known whether unlocking may take long, it is believed to. */
static void test_close_while_statfs_is_stuck(void **state) {
    struct helper *helper = scene_start(NULL);
    struct mount *mount = mount_new();
    mount_stop(mount, STUCK_STATFS);
    client_add_one(helper->manager, 1, mount_open(mount, 0, O_RDWR));
    mount_await(mount, STUCK_STATFS);
    struct opened opened = client_open_set(helper->vmm, 1, O_RDWR);
    assert_int_equal(lock_byte(opened.fd), 0);
    client_close(helper->vmm, &opened);
    uint32_t waits = client_send_open(helper->vmm, "/dev/fdset/1", O_RDWR);
    client_barrier(helper->vmm);
    assert_locals_served(helper, helper->vmm);
    assert_int_equal(state_of(helper, 1), MEMBER(SETTLING));
    mount_fail(mount, STUCK_STATFS, EIO); /* so it is a file system that may hang */
    assert_true(client_opened(helper->vmm, waits).fd >= 0);
    assert_settle_thread(helper, mount_await(mount, STUCK_SETLK));
    assert_false(mount_locked(mount, 0, LOCKED_BYTE));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        mounts_test(test_unlock_on_a_thread),
        mounts_test(test_others_overtake_an_open_that_waits),
        mounts_test(test_stuck_unlock),
        mounts_test(test_close_is_answered_when_it_is_unlocked),
        mounts_test(test_hangs_up_before_close_is_answered),
        mounts_test(test_answered_close_is_of_one_lease),
        mounts_test(test_unlock_that_fails),
        mounts_test(test_second_member_serves_meanwhile),
        mounts_test(test_waiting_open_of_a_removed_member),
        mounts_test(test_waiting_open_of_a_set_whose_time_is_over),
        mounts_test(test_vmm_hangs_up_while_it_waits),
        mounts_test(test_stuck_statfs),
        mounts_test(test_close_while_statfs_is_stuck),
    };
    mounts_prepare();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

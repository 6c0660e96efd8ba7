/* SPDX-License-Identifier: MIT */
/* A helper with one file that can get stuck, and others that must not notice: see scene.h. */
#include "scene.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define NEW_SET 30

static int local[LOCALS];

struct helper *scene_start(const char *const *options) {
    struct helper *helper = helper_start(options);
    for (int i = 0; i < LOCALS; i++) {
        char name[16];
        snprintf(name, sizeof(name), "local%d", i);
        local[i] = file_open(name, O_RDWR);
        client_add_one(helper->manager, LOCAL + i, local[i]);
    }
    client_wait_settled(helper->manager);
    return helper;
}

pid_t scene_get_stuck(struct helper *helper, struct mount *mount) {
    client_add_one(helper->manager, 1, mount_open(mount, 0, O_RDWR));
    client_wait_settled(helper->manager);
    struct opened opened = client_open_set(helper->vmm, 1, O_RDWR);
    assert_int_equal(lock_byte(opened.fd), 0);
    mount_stop(mount, STUCK_SETLK);
    client_close(helper->vmm, &opened);
    pid_t thread = mount_await(mount, STUCK_SETLK);
    assert_int_equal(state_of(helper, 1), MEMBER(SETTLING));
    return thread;
}

struct client *scene_listen(struct helper *helper, Fdset__V1__EventKind kind) {
    struct client *observer = helper_connect(helper, ROLE(OBSERVER), "listens");
    Fdset__V1__Subscribe subscribe = FDSET__V1__SUBSCRIBE__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    subscribe.kinds = &kind;
    subscribe.n_kinds = 1;
    request.body_case = FDSET__V1__REQUEST__BODY_SUBSCRIBE;
    request.subscribe = &subscribe;
    assert_int_equal(client_ask(observer, &request)->body_case, REPLY(DONE));
    return observer;
}

int lock_byte(int fd) {
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LOCKED_BYTE, .l_len = 1};
    return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

/* ---------------------------------------------------------- what must hold */

void assert_local(int index, int fd) {
    assert_serves(fd, local[index], O_RDWR);
}

/* The second time shows that the first one's lock is gone. */
static void open_lock_close(struct client *vmm, int index) {
    for (int i = 0; i < 2; i++) {
        struct opened opened = client_open_set(vmm, LOCAL + index, O_RDWR);
        assert_local(index, opened.fd);
        assert_int_equal(lock_byte(opened.fd), 0);
        client_close(vmm, &opened);
    }
}

void assert_locals_served(struct helper *helper, struct client *vmm) {
    for (int i = 0; i < LOCALS; i++)
        open_lock_close(vmm, i);
    client_barrier(vmm);
    client_barrier(helper->manager);
}

void assert_manager_served(struct helper *helper) {
    int file = file_open("new", O_RDWR);
    client_add_one(helper->manager, NEW_SET, file);
    struct opened opened = client_open_set(helper->vmm, NEW_SET, O_RDWR);
    assert_serves(opened.fd, file, O_RDWR);
    client_close(helper->vmm, &opened);
    client_barrier(helper->vmm);
    assert_int_equal(client_remove_at_once(helper->manager, NEW_SET, 0)->removed->members, 1);
    harness_close(file);
}

int state_of(struct helper *helper, int set) {
    QueryReply *reply = client_query(helper->manager, set, NULL);
    assert_int_equal(reply->n_sets, 1);
    return (int)reply->sets[0]->members[0]->state;
}

void assert_settle_thread(const struct helper *helper, pid_t thread) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task/%d", helper->pid, thread);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_not_equal(thread, helper->pid);
}

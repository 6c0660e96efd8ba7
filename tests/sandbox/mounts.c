/* SPDX-License-Identifier: MIT */
/* What the host unmounts is unmounted: a helper that could not empty its root, or sits in a
 * chroot, keeps no copy of the host's mounts.
 *
 * The kernel says when nothing has a file system mounted any more (IN_UNMOUNT). */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cage.h"

static bool is_cell_mounted;

/* On a tmpfs that only this process and its children see. */
static int make_world(struct cage *cage) {
    CAGE_CHECK(unshare(CLONE_NEWNS) == 0);
    CAGE_CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    CAGE_CHECK(mount("none", "/mnt", "tmpfs", 0, NULL) == 0);
    CAGE_CHECK(mkdir("/mnt/disk", 0755) == 0 && mkdir("/mnt/cell", 0755) == 0);
    CAGE_CHECK(mount("none", "/mnt/disk", "tmpfs", 0, NULL) == 0);
    CAGE_CHECK(!is_cell_mounted || mount("none", "/mnt/cell", "tmpfs", 0, NULL) == 0);
    return 0;
}

/* Says on `ready` when it is closed in, and stays so. */
static void live_confined(struct cage *cage, int ready) {
    struct epoll_event events[CONFINE_EPOLL_EVENTS];

    dup2(ready, STDERR_FILENO);
    if (confine_enter(&cage->plan, &cage->report) < 0 ||
        confine_seal(&cage->plan, &cage->report) < 0) {
        cage_complain(__FILE__, __LINE__, "confined", cage);
        cage_exit(1);
    }
    bool empty = cage_outcome(cage, "root") == CONFINE_DONE;
    syscall(SYS_write, STDERR_FILENO, empty ? "e" : "l", 1);
    for (;;)
        syscall(SYS_epoll_pwait, CONFINE_EPOLL, events, CONFINE_EPOLL_EVENTS, -1, NULL, 8);
}

/* The disk's file system is gone with its last name, while a process lives that `prepare`
 * prepared before it closed itself in: with an empty root ('e') or without ('l'). */
static int unmount_beside(struct cage *cage, int (*prepare)(struct cage *), char wanted) {
    union {
        struct inotify_event event;
        char bytes[4096];
    } buffer;
    int ready[2], watch, status;
    char root;

    if (make_world(cage) != 0)
        return 1;
    CAGE_CHECK(pipe2(ready, O_CLOEXEC) == 0);
    pid_t child = fork();
    if (child == 0) {
        if (prepare && prepare(cage) != 0)
            cage_exit(1);
        live_confined(cage, ready[1]);
    }
    close(ready[1]);
    CAGE_CHECK(read(ready[0], &root, 1) == 1 && root == wanted);
    watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    CAGE_CHECK(watch >= 0 && inotify_add_watch(watch, "/mnt/disk", IN_UNMOUNT) >= 0);
    CAGE_CHECK(umount("/mnt/disk") == 0);
    CAGE_CHECK(read(watch, &buffer, sizeof(buffer)) > 0);
    CAGE_CHECK(buffer.event.mask & IN_UNMOUNT);
    CAGE_CHECK(kill(child, SIGKILL) == 0 && waitpid(child, &status, 0) == child);
    CAGE_CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return 0;
}

static int nothing_refused(struct cage *cage) {
    return unmount_beside(cage, NULL, 'e');
}

static int become_user(struct cage *cage) {
    cage_become(CAGE_UID);
    return 0;
}

static int user(struct cage *cage) {
    return unmount_beside(cage, become_user, 'e');
}

static int refuse_mount(struct cage *cage) {
    (void)cage;
    cage_refuse(SYS_mount, EACCES);
    return 0;
}

static int mount_refused(struct cage *cage) {
    return unmount_beside(cage, refuse_mount, 'l');
}

static int enter_disk(struct cage *cage) {
    CAGE_CHECK(chdir("/mnt/disk") == 0);
    return refuse_mount(cage);
}

static int started_there(struct cage *cage) {
    return unmount_beside(cage, enter_disk, 'l');
}

static int refuse_pivot(struct cage *cage) {
    (void)cage;
    cage_refuse(SYS_pivot_root, EPERM);
    return 0;
}

static int pivot_refused(struct cage *cage) {
    return unmount_beside(cage, refuse_pivot, 'l');
}

static int refuse_umount(struct cage *cage) {
    (void)cage;
    cage_refuse(SYS_umount2, EPERM);
    return 0;
}

static int umount_refused(struct cage *cage) {
    return unmount_beside(cage, refuse_umount, 'l');
}

static int user_without_mount(struct cage *cage) {
    cage_become(CAGE_UID);
    return refuse_mount(cage);
}

static int mount_refused_to_user(struct cage *cage) {
    return unmount_beside(cage, user_without_mount, 'l');
}

static int enter_cell(struct cage *cage) {
    CAGE_CHECK(chroot("/mnt/cell") == 0 && chdir("/") == 0);
    return 0;
}

/* It leaves the chroot, and then its root can be emptied as anybody's. */
static int in_a_chroot(struct cage *cage) {
    return unmount_beside(cage, enter_cell, 'e');
}

/* There pivot_root would do as it is told, and leave what is mounted outside. */
static int mounted_chroot(struct cage *cage) {
    is_cell_mounted = true;
    return unmount_beside(cage, enter_cell, 'e');
}

static int enter_cell_without_way_out(struct cage *cage) {
    if (enter_cell(cage) != 0)
        return 1;
    cage_refuse(SYS_setns, EPERM);
    return 0;
}

static int chroot_that_cannot_be_left(struct cage *cage) {
    is_cell_mounted = true;
    return unmount_beside(cage, enter_cell_without_way_out, 'l');
}

#define ROOT(body)                          \
    static void test_##body(void **state) { \
        cage_test(AS_ROOT, body);           \
    }

ROOT(nothing_refused)
ROOT(user)
ROOT(mount_refused)
ROOT(started_there)
ROOT(pivot_refused)
ROOT(umount_refused)
ROOT(mount_refused_to_user)
ROOT(in_a_chroot)
ROOT(mounted_chroot)
ROOT(chroot_that_cannot_be_left)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_refused),
        cmocka_unit_test(test_user),
        cmocka_unit_test(test_mount_refused),
        cmocka_unit_test(test_started_there),
        cmocka_unit_test(test_pivot_refused),
        cmocka_unit_test(test_umount_refused),
        cmocka_unit_test(test_mount_refused_to_user),
        cmocka_unit_test(test_in_a_chroot),
        cmocka_unit_test(test_mounted_chroot),
        cmocka_unit_test(test_chroot_that_cannot_be_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

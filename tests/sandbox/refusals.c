/* SPDX-License-Identifier: MIT */
/* What happens where kernel, container or administrator refuse a stage: what
 * something else makes up for is reported and not fatal; all else ends the
 * start, except in best-effort mode. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/capability.h>

#include "cage.h"

#define LANDLOCK_CREATE_RULESET 444
#define PR_SET_MDWE_            65

static const struct confine_stage *last(const struct cage *cage) {
    return &cage->report.stages[cage->report.count - 1];
}

static bool detail_has(const struct cage *cage, const char *stage, const char *text) {
    for (size_t i = 0; i < cage->report.count; i++)
        if (!strcmp(cage->report.stages[i].name, stage))
            return strstr(cage->report.stages[i].detail, text);
    return false;
}

/* Both halves, as far as they go. */
static int confine(struct cage *cage) {
    int result = confine_enter(&cage->plan, &cage->report);
    return result < 0 ? result : confine_seal(&cage->plan, &cage->report);
}

/* All stages ran, and of them only these two (or one, or none) partly; besides
 * what this kernel is too old for. */
static bool only_partly(const struct cage *cage, const char *one, const char *other) {
    for (size_t i = 0; i < cage->report.count; i++) {
        const struct confine_stage *stage = &cage->report.stages[i];
        bool expected = (one && !strcmp(stage->name, one)) ||
                        (other && !strcmp(stage->name, other)) ||
                        (!strcmp(stage->name, "mdwe") && !cage->kernel_has_mdwe) ||
                        (!strcmp(stage->name, "mseal") && !cage->kernel_has_mseal);
        if (stage->outcome != (expected ? CONFINE_PARTLY : CONFINE_DONE))
            return false;
    }
    return cage->report.count == 12;
}

/* The end of a start: this stage, this error, and the name of both. */
static bool ended_by(const struct cage *cage, int result, const char *stage, int error) {
    return result == -error && !strcmp(last(cage)->name, stage) &&
           last(cage)->outcome == CONFINE_FAILED &&
           strstr(last(cage)->detail, strerrorname_np(error)) && strchr(last(cage)->detail, ';');
}

/* ----------------------------------------------------- containers and kernels */

static int nothing_refused(struct cage *cage) {
    CAGE_CHECK(confine(cage) == 0);
    CAGE_CHECK(only_partly(cage, NULL, NULL));
    return 0;
}

static int unshare_refused(struct cage *cage) {
    static const int errors[] = {EPERM, EACCES, ENOSYS, ENOSPC, EINVAL};

    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        pid_t child = fork();
        int status;
        if (child == 0) {
            cage_refuse(SYS_unshare, errors[i]);
            CAGE_CHECK(confine(cage) == 0);
            CAGE_CHECK(detail_has(cage, "namespaces", strerrorname_np(errors[i])));
            CAGE_CHECK(cage_outcome(cage, "namespaces") == CONFINE_PARTLY);
            CAGE_CHECK(cage_outcome(cage, "root") == CONFINE_PARTLY);
            CAGE_CHECK(cage_outcome(cage, "landlock") == CONFINE_DONE);
            CAGE_CHECK(cage_outcome(cage, "seccomp") == CONFINE_DONE);
            CAGE_CHECK(!cage->report.other_users_unknown);
            cage_exit(0);
        }
        CAGE_CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
    return 0;
}

/* A container's filter that is older than the call: /proc does as well. */
static int pidfd_refused(struct cage *cage) {
    cage_refuse(SYS_pidfd_open, EPERM);
    CAGE_CHECK(confine(cage) == 0);
    CAGE_CHECK(only_partly(cage, NULL, NULL));
    return 0;
}

static int net_refused(struct cage *cage) {
    cage_refuse_if(SYS_unshare, EPERM, 0, CLONE_NEWNET);
    CAGE_CHECK(confine(cage) == 0);
    CAGE_CHECK(only_partly(cage, "namespaces", NULL));
    CAGE_CHECK(detail_has(cage, "namespaces", "mount ipc uts cgroup but not net: EPERM;"));
    return 0;
}

/* Who cannot go back, does not go, but sends a child. */
static int chroot_refused(struct cage *cage) {
    cage_refuse(SYS_chroot, EPERM);
    CAGE_CHECK(confine(cage) == 0);
    CAGE_CHECK(only_partly(cage, NULL, NULL));
    return 0;
}

static int mount_refused(struct cage *cage) {
    cage_refuse(SYS_mount, EACCES);
    CAGE_CHECK(confine(cage) == 0);
    CAGE_CHECK(only_partly(cage, "namespaces", "root"));
    CAGE_CHECK(detail_has(cage, "namespaces", "net ipc uts cgroup but not mount: EACCES;"));
    CAGE_CHECK(detail_has(cage, "root", "mount(private): EACCES;"));
    return 0;
}

static int chroot_and_mount_refused(struct cage *cage) {
    cage_refuse(SYS_chroot, EPERM);
    return mount_refused(cage);
}

static int pivot_refused(struct cage *cage) {
    cage_refuse(SYS_pivot_root, EINVAL);
    CAGE_CHECK(confine(cage) == 0);
    CAGE_CHECK(only_partly(cage, "namespaces", "root"));
    CAGE_CHECK(detail_has(cage, "root", "pivot_root: EINVAL;"));
    return 0;
}

/* What is no refusal is a failure: nothing has said that we may go without. */
static int unshare_broken(struct cage *cage) {
    cage_refuse(SYS_unshare, ENOMEM);
    CAGE_CHECK(ended_by(cage, confine(cage), "namespaces", ENOMEM));
    return 0;
}

static int no_landlock(struct cage *cage) {
    cage_refuse(LANDLOCK_CREATE_RULESET, ENOSYS);
    CAGE_CHECK(confine(cage) == 0);
    CAGE_CHECK(only_partly(cage, "landlock", NULL));
    return 0;
}

static int neither(struct cage *cage) {
    cage_refuse(SYS_unshare, EPERM);
    cage_refuse(LANDLOCK_CREATE_RULESET, EOPNOTSUPP);
    CAGE_CHECK(ended_by(cage, confine(cage), "namespaces", EPERM));
    CAGE_CHECK(cage->report.count == 2);
    return 0;
}

static int neither_root_nor_landlock(struct cage *cage) {
    cage_refuse(SYS_mount, EPERM);
    cage_refuse(LANDLOCK_CREATE_RULESET, ENOSYS);
    CAGE_CHECK(ended_by(cage, confine(cage), "namespaces", EPERM));
    CAGE_CHECK(detail_has(cage, "namespaces", "mount"));
    return 0;
}

/* It is there, and then cannot be used: too many of them on top of each other. */
static int landlock_breaks(struct cage *cage) {
    cage_refuse(SYS_unshare, EPERM);
    cage_refuse(446, E2BIG);
    CAGE_CHECK(ended_by(cage, confine(cage), "landlock", E2BIG));
    return 0;
}

static int best_effort(struct cage *cage) {
    cage_refuse(SYS_unshare, EPERM);
    cage_refuse(LANDLOCK_CREATE_RULESET, ENOSYS);
    cage->plan.mode = CONFINE_BEST_EFFORT;
    CAGE_CHECK(confine(cage) == 0);
    CAGE_CHECK(cage_outcome(cage, "namespaces") == CONFINE_FAILED);
    CAGE_CHECK(cage_outcome(cage, "root") == CONFINE_FAILED);
    CAGE_CHECK(cage_outcome(cage, "landlock") == CONFINE_FAILED);
    CAGE_CHECK(cage_outcome(cage, "seccomp") == CONFINE_DONE);
    return 0;
}

static int old_kernel(struct cage *cage) {
    cage_refuse_if(SYS_prctl, EINVAL, 0, PR_SET_MDWE_);
    CAGE_CHECK(confine(cage) == 0);
    CAGE_CHECK(only_partly(cage, "mdwe", NULL));
    return 0;
}

static int no_seccomp(struct cage *cage) {
    cage_refuse_if(SYS_seccomp, EINVAL, 0, 1);
    CAGE_CHECK(ended_by(cage, confine(cage), "seccomp", EINVAL));
    return 0;
}

static int proc_missing(struct cage *cage) {
    CAGE_CHECK(unshare(CLONE_NEWNS) == 0);
    CAGE_CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    CAGE_CHECK(mount("none", "/proc", "tmpfs", MS_RDONLY, NULL) == 0);
    return 0;
}

static int no_proc(struct cage *cage) {
    return proc_missing(cage) || nothing_refused(cage);
}

static int no_proc_for_user(struct cage *cage) {
    if (proc_missing(cage) != 0)
        return 1;
    cage_become(CAGE_UID);
    CAGE_CHECK(confine(cage) == 0);
    CAGE_CHECK(cage_outcome(cage, "namespaces") == CONFINE_PARTLY);
    CAGE_CHECK(detail_has(cage, "namespaces", "ENOENT"));
    CAGE_CHECK(!cage->report.other_users_unknown);
    return 0;
}

/* As Ubuntu's AppArmor: a user namespace, but no map. We must not be in it. */
static int map_refused(struct cage *cage) {
    CAGE_CHECK(unshare(CLONE_NEWNS) == 0);
    CAGE_CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    CAGE_CHECK(mount(NULL, "/proc", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) == 0);
    cage_become(CAGE_UID);
    CAGE_CHECK(confine_enter(&cage->plan, &cage->report) == 0);
    CAGE_CHECK(getuid() == CAGE_UID);
    CAGE_CHECK(detail_has(cage, "namespaces", "EROFS"));
    CAGE_CHECK(!cage->report.other_users_unknown);
    return 0;
}

/* Another process has to write the map of a user namespace that has all ids. */
static int full_user_namespace(struct cage *cage) {
    pid_t inside = getpid();
    int ready[2], status;
    char path[40], byte;
    pid_t writer;

    CAGE_CHECK(pipe(ready) == 0);
    writer = fork();
    if (writer == 0) {
        bool right = read(ready[0], &byte, 1) == 1;
        for (int i = 0; i < 2; i++) {
            snprintf(path, sizeof(path), "/proc/%d/%s", inside, i ? "uid_map" : "gid_map");
            int map = open(path, O_WRONLY);
            right &= write(map, "0 0 4294967295", 14) == 14;
        }
        cage_exit(right ? 0 : 1);
    }
    CAGE_CHECK(unshare(CLONE_NEWUSER) == 0);
    CAGE_CHECK(write(ready[1], "", 1) == 1);
    CAGE_CHECK(waitpid(writer, &status, 0) == writer && status == 0);
    CAGE_CHECK(setresgid(0, 0, 0) == 0 && setresuid(0, 0, 0) == 0);
    return 0;
}

static int user_namespaces_disabled(struct cage *cage) {
    int maximum;

    if (full_user_namespace(cage) != 0)
        return 1;
    maximum = open("/proc/sys/user/max_user_namespaces", O_WRONLY);
    CAGE_CHECK(maximum >= 0 && write(maximum, "0\n", 2) == 2);
    cage_become(CAGE_UID);
    CAGE_CHECK(confine(cage) == 0);
    CAGE_CHECK(cage_outcome(cage, "namespaces") == CONFINE_PARTLY);
    CAGE_CHECK(detail_has(cage, "namespaces", "user: ENOSPC"));
    CAGE_CHECK(cage_outcome(cage, "landlock") == CONFINE_DONE);
    CAGE_CHECK(cage_outcome(cage, "seccomp") == CONFINE_DONE);
    return 0;
}

/* Root of a container that has all ids: as root anywhere. */
static int root_of_container(struct cage *cage) {
    return full_user_namespace(cage) || nothing_refused(cage);
}

static bool file_write(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    close(fd);
    return written;
}

/* As `unshare -r`: nobody to become, and nobody to be afraid of. */
static int lone_root(struct cage *cage) {
    char uid_map[40], gid_map[40];

    snprintf(uid_map, sizeof(uid_map), "0 %u 1", geteuid());
    snprintf(gid_map, sizeof(gid_map), "0 %u 1", getegid());
    CAGE_CHECK(unshare(CLONE_NEWUSER) == 0);
    CAGE_CHECK(file_write("/proc/self/setgroups", "deny"));
    CAGE_CHECK(file_write("/proc/self/uid_map", uid_map));
    CAGE_CHECK(file_write("/proc/self/gid_map", gid_map));
    CAGE_CHECK(confine(cage) == 0);
    CAGE_CHECK(only_partly(cage, "ids", NULL));
    CAGE_CHECK(cage->report.other_users_unknown);
    return 0;
}

static int no_dev(struct cage *cage) {
    CAGE_CHECK(unshare(CLONE_NEWNS) == 0);
    CAGE_CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    CAGE_CHECK(mount("none", "/dev", "tmpfs", MS_RDONLY, NULL) == 0);
    return nothing_refused(cage);
}

/* Started by a VMM that is confined as we are ourselves: nothing is left to
 * drop, and much of the dropping is refused. */
static int confined_already(struct cage *cage) {
    CAGE_CHECK(confine_enter(&cage->plan, &cage->report) == 0);
    CAGE_CHECK(confine(cage) == 0);
    CAGE_CHECK(cage_outcome(cage, "descriptors") == CONFINE_DONE);
    CAGE_CHECK(cage_outcome(cage, "namespaces") == CONFINE_PARTLY);
    CAGE_CHECK(cage_outcome(cage, "root") == CONFINE_PARTLY);
    CAGE_CHECK(cage_outcome(cage, "landlock") == CONFINE_DONE);
    CAGE_CHECK(cage_outcome(cage, "seccomp") == CONFINE_DONE);
    return 0;
}

/* ------------------------------------------------------------ administrators */

/* A user namespace would show strangers as ourselves. */
static int as_nobody(struct cage *cage) {
    CAGE_CHECK(confine(cage) == 0);
    CAGE_CHECK(cage_outcome(cage, "namespaces") == CONFINE_PARTLY);
    CAGE_CHECK(!cage->report.other_users_unknown);
    return 0;
}

static int capability_drop(unsigned capability) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2];

    if (syscall(SYS_capget, &header, sets) < 0)
        return -1;
    sets[0].effective &= ~(1u << capability);
    sets[0].permitted &= ~(1u << capability);
    return syscall(SYS_capset, &header, sets);
}

static int without_setpcap(struct cage *cage) {
    CAGE_CHECK(capability_drop(CAP_SETPCAP) == 0);
    CAGE_CHECK(confine(cage) == 0);
    CAGE_CHECK(only_partly(cage, "capabilities", NULL));
    return 0;
}

static int without_setuid(struct cage *cage) {
    CAGE_CHECK(capability_drop(CAP_SETUID) == 0);
    CAGE_CHECK(ended_by(cage, confine(cage), "ids", EPERM));
    CAGE_CHECK(detail_has(cage, "ids", "start as an ordinary user"));
    return 0;
}

static int without_sys_admin(struct cage *cage) {
    CAGE_CHECK(capability_drop(CAP_SYS_ADMIN) == 0);
    CAGE_CHECK(confine(cage) == 0);
    CAGE_CHECK(only_partly(cage, "namespaces", "root"));
    return 0;
}

static int stays_root(struct cage *cage) {
    cage->plan.uid = 0;
    CAGE_CHECK(ended_by(cage, confine(cage), "ids", EINVAL));
    return 0;
}

static int limit_too_high(struct cage *cage) {
    struct rlimit limit = {100, 100};

    CAGE_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    cage->plan.descriptor_limit = 101;
    CAGE_CHECK(ended_by(cage, confine(cage), "limits", EPERM));
    return 0;
}

/* Room for the ready line; then lines are lost, and the helper goes on. Another
 * process may have written to the file meanwhile. */
static int log_to_file(struct cage *cage) {
    char path[] = "/tmp/sandbox-XXXXXX", text[4096] = "line";
    int file = mkstemp(path), before = dup(STDERR_FILENO);

    unlink(path);
    CAGE_CHECK(write(file, text, sizeof(text)) == sizeof(text));
    dup2(file, STDERR_FILENO);
    cage->keep[1] = before;
    cage->plan.keep_count = 2;
    CAGE_CHECK(confine(cage) == 0);
    if (!only_partly(cage, NULL, NULL) || !detail_has(cage, "limits", "the log may grow"))
        return 1;
    if (write(STDERR_FILENO, text, 4000) != 4000 || write(STDERR_FILENO, text, 96) != 96)
        return 2;
    return write(STDERR_FILENO, text, 1) == -1 && errno == EFBIG ? 0 : 3;
}

/* Numbers that would have become the program's own are filled. */
static int standard_streams_closed(struct cage *cage) {
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    close(STDERR_FILENO);
    if (confine(cage) != 0 || !only_partly(cage, NULL, NULL))
        return 1;
    for (int number = 0; number <= 2; number++)
        if (fcntl(number, F_GETFL) < 0)
            return 2;
    return 0;
}

/* A descriptor that the log would be written to, or that would be replaced. */
static int standard_stream_used(struct cage *cage) {
    for (int number = 0; number <= 2; number++) {
        cage->keep[0] = number;
        CAGE_CHECK(ended_by(cage, confine(cage), "descriptors", EINVAL));
    }
    return 0;
}

/* The filter would take it for what stands there in its rules. */
static int filters_number_used(struct cage *cage) {
    for (int number = 3; number <= 7; number++) {
        cage->keep[0] = number;
        CAGE_CHECK(ended_by(cage, confine(cage), "descriptors", EINVAL));
    }
    return 0;
}

/* What is received next would get it. */
static int filters_number_free(struct cage *cage) {
    for (int number = 3; number <= 7; number++) {
        int copy = fcntl(number, F_DUPFD_CLOEXEC, 8);
        close(number);
        CAGE_CHECK(ended_by(cage, confine(cage), "descriptors", EINVAL));
        CAGE_CHECK(dup3(copy, number, O_CLOEXEC) == number);
        close(copy);
    }
    return 0;
}

/* ------------------------------------------------------------------- tests */

struct trial {
    enum starter starter;
    int (*body)(struct cage *cage);
};

static void run_trial(void **state) {
    const struct trial *trial = *state;
    cage_test(trial->starter, trial->body);
}

#define ROOT(body)                                                 \
    {                                                              \
#body "_as_root", run_trial, NULL, NULL, &(struct trial) { \
            AS_ROOT, body                                          \
        }                                                          \
    }
#define USER(body)                                                 \
    {                                                              \
#body "_as_user", run_trial, NULL, NULL, &(struct trial) { \
            AS_USER, body                                          \
        }                                                          \
    }
#define NOBODY(body)                                                 \
    {                                                                \
#body "_as_nobody", run_trial, NULL, NULL, &(struct trial) { \
            AS_NOBODY, body                                          \
        }                                                            \
    }

int main(void) {
    const struct CMUnitTest tests[] = {
        ROOT(nothing_refused),
        USER(nothing_refused),
        ROOT(unshare_refused),
        USER(unshare_refused),
        ROOT(pidfd_refused),
        USER(pidfd_refused),
        ROOT(net_refused),
        USER(net_refused),
        ROOT(mount_refused),
        ROOT(chroot_refused),
        ROOT(chroot_and_mount_refused),
        USER(mount_refused),
        ROOT(pivot_refused),
        ROOT(unshare_broken),
        USER(unshare_broken),
        ROOT(no_landlock),
        USER(no_landlock),
        ROOT(neither),
        USER(neither),
        ROOT(neither_root_nor_landlock),
        ROOT(landlock_breaks),
        ROOT(best_effort),
        USER(best_effort),
        ROOT(old_kernel),
        USER(old_kernel),
        USER(no_seccomp),
        ROOT(no_proc),
        ROOT(no_proc_for_user),
        ROOT(map_refused),
        ROOT(user_namespaces_disabled),
        ROOT(root_of_container),
        USER(lone_root),
        ROOT(no_dev),
        ROOT(confined_already),
        USER(confined_already),
        NOBODY(as_nobody),
        ROOT(without_setpcap),
        ROOT(without_setuid),
        ROOT(without_sys_admin),
        ROOT(stays_root),
        ROOT(limit_too_high),
        USER(log_to_file),
        ROOT(standard_streams_closed),
        USER(standard_streams_closed),
        USER(standard_stream_used),
        USER(filters_number_used),
        USER(filters_number_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

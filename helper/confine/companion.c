/* SPDX-License-Identifier: MIT */
/* See companion.h: those of the helper's stages that a program can go through which has
 * connected to everybody already, and two of its own. */
#include "companion.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "privileges.h"
#include "stage.h"

/* No user to become. No call that takes a path is left to it: where the kernel has no
 * Landlock, that does for the files what an empty root does for the helper's. */
static const struct confine_plan plan = {.mode = CONFINE_ENFORCE};

static int stage_do(struct confine_report *report, const char *name, stage_run *run) {
    struct confinement confinement = {.plan = &plan, .report = report, .empty_root = true};
    struct confine_stage *stage = &report->stages[report->count++];

    *stage = (struct confine_stage){.name = name, .outcome = CONFINE_DONE};
    return run(&confinement, stage);
}

int companion_enter(struct confine_report *report) {
    static const struct {
        const char *name;
        stage_run *run;
    } stages[] = {
        {"capabilities", capabilities_stage},
        {"undumpable", undumpable_stage},
        {"no-new-privs", no_new_privs_stage},
        {"landlock", landlock_stage},
        {"mdwe", mdwe_stage},
        {"mseal", mseal_stage},
    };
    int error = 0;

    *report = (struct confine_report){0};
    for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]) && error == 0; i++)
        error = stage_do(report, stages[i].name, stages[i].run);
    return error;
}

/* No core and no new process; root, too, is held to the latter by the filter. */
static int companion_limits(struct confinement *confinement, struct confine_stage *stage) {
    static const struct rlimit none = {0, 0};

    (void)confinement;
    if (setrlimit(RLIMIT_CORE, &none) < 0 || setrlimit(RLIMIT_NPROC, &none) < 0)
        return stage_failed(stage, -errno, "setrlimit", "allow it");
    return 0;
}

int companion_seal(const struct sock_filter *filter, size_t length, struct confine_report *report) {
    struct sock_fprog program = {(unsigned short)length, (struct sock_filter *)filter};
    int error = stage_do(report, "limits", companion_limits);

    if (error < 0)
        return error;
    struct confine_stage *stage = &report->stages[report->count++];
    *stage = (struct confine_stage){.name = "seccomp", .outcome = CONFINE_DONE};
    long result =
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
    /* Positive: the thread that has a filter of its own. */
    if (result != 0)
        return stage_failed(stage, result < 0 ? -errno : -ESRCH, "seccomp",
                            "the kernel needs CONFIG_SECCOMP_FILTER");
    return 0;
}

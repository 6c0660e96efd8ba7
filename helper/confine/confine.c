/* SPDX-License-Identifier: MIT */
/* Theory of operation
 *
 * The helper takes over descriptors that others opened, hands out duplicates
 * of them and counts. A VMM taken over by its guest sends it what it likes, so
 * we plan for the day when the helper itself runs the attacker's code, and take
 * from it, before it reads the first byte, whatever that code would want:
 *
 *   descriptors    everything it was not meant to have
 *   namespaces     its view of other processes' mounts, network, IPC, names
 *   root           every file name
 *   capabilities   every privilege, and the ways to regain one
 *   ids            root's uid and groups
 *   undumpable     being read or steered (ptrace, /proc) by its own uid
 *   no-new-privs   gaining anything by exec
 *   landlock       files, ports, abstract sockets and signals, a second time
 *   mdwe           turning data into code
 *   mseal          turning constants into data
 *   limits         processes, files, core dumps, descriptors beyond the plan
 *   seccomp        all system calls but those of rules.c, and most of their arguments
 *
 * The order is not free:
 *
 *   - descriptors is first: what is closed can no longer be in the way; and it
 *     needs /dev/null, so root comes later.
 *   - namespaces need one thread (CLONE_NEWUSER), CAP_SYS_ADMIN, and, as an
 *     ordinary user, a dumpable process: /proc/self/uid_map is root's otherwise.
 *   - root is emptied in the mount namespace as that is made, and reported by itself;
 *     before Landlock, which forbids mounting.
 *   - capabilities leaves the two that ids needs and takes the bounding set
 *     first, which needs the capability CAP_SETPCAP itself.
 *   - undumpable is after ids, as changing ids resets it.
 *   - landlock and seccomp need no-new-privs, as they need no privilege then.
 *   - capabilities, ids, namespaces and Landlock belong to a thread and go to
 *     the threads it starts, so the settle threads start after mseal; limits
 *     (no new process, hence no new thread) and seccomp (no clone) follow, the
 *     latter on all threads at once.
 *
 * What stands on its own is said per stage below: what holds after it, and
 * what must not have happened before. No stage relies on seccomp, and seccomp
 * relies on no stage but no-new-privs: each of the two would do alone.
 *
 * No pid namespace: a manager's and VMM's pid must stay readable by SO_PEERCRED,
 * and no call that is left takes a pid. */
#include "confine.h"

#include <assert.h>
#include <stdio.h>

#include "filter.h"
#include "privileges.h"
#include "stage.h"

struct named_stage {
    const char *name;
    stage_run *run;
};

static const struct named_stage enter_stages[] = {
    {"descriptors", descriptors_stage},
    {"namespaces", namespaces_stage},
    {"root", root_stage},
    {"capabilities", capabilities_stage},
    {"ids", ids_stage},
    {"undumpable", undumpable_stage},
    {"no-new-privs", no_new_privs_stage},
    {"landlock", landlock_stage},
    {"mdwe", mdwe_stage},
    {"mseal", mseal_stage},
};

static const struct named_stage seal_stages[] = {
    {"limits", limits_stage},
    {"seccomp", seccomp_stage},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static_assert(COUNT(enter_stages) + COUNT(seal_stages) <= CONFINE_MAX_STAGES,
              "the report has no room for all stages");

static int stages_run(struct confinement *confinement, const struct named_stage *stages,
                      size_t count) {
    struct confine_report *report = confinement->report;

    for (size_t i = 0; i < count; i++) {
        assert(report->count < CONFINE_MAX_STAGES);
        struct confine_stage *stage = &report->stages[report->count++];
        int result;

        *stage = (struct confine_stage){.name = stages[i].name, .outcome = CONFINE_DONE};
        result = stages[i].run(confinement, stage);
        assert((result < 0) == (stage->outcome == CONFINE_FAILED));
        if (result < 0 && confinement->plan->mode != CONFINE_BEST_EFFORT)
            return result;
    }
    return 0;
}

int confine_enter(const struct confine_plan *plan, struct confine_report *report) {
    struct confinement confinement = {.plan = plan, .report = report};

    *report = (struct confine_report){0};
    return stages_run(&confinement, enter_stages, COUNT(enter_stages));
}

int confine_seal(const struct confine_plan *plan, struct confine_report *report) {
    struct confinement confinement = {.plan = plan, .report = report};

    return stages_run(&confinement, seal_stages, COUNT(seal_stages));
}

void confine_describe(const struct confine_report *report, char *text, size_t size) {
    static const char *const marks[] = {
        [CONFINE_PENDING] = "pending: ",
        [CONFINE_DONE] = "",
        [CONFINE_PARTLY] = "partly: ",
        [CONFINE_FAILED] = "FAILED: ",
    };
    size_t used = 0;

    assert(size > 0);
    text[0] = '\0';
    for (size_t i = 0; i < report->count && used < size; i++) {
        const struct confine_stage *stage = &report->stages[i];
        bool bare = stage->outcome == CONFINE_DONE && !stage->detail[0];

        used += snprintf(text + used, size - used, "%s%s%s%s%s%s", i ? " " : "", stage->name,
                         bare ? "" : "(", marks[stage->outcome], stage->detail, bare ? "" : ")");
    }
}

/* SPDX-License-Identifier: MIT */
/* The sandbox: after confine_seal() the helper can do what the system calls of
 * rules.c allow to the descriptors it holds, and nothing else.
 *
 * Two halves, because the settle threads must be born inside what every thread
 * has for itself (capabilities, ids, namespaces, Landlock) and before what
 * forbids new threads (NPROC, seccomp):
 *
 *     confine_enter()       stages "descriptors" to "mseal", one thread
 *     ... the settle threads are started ...
 *     confine_seal()        stages "limits" and "seccomp", all threads
 *
 * Each stage ends as one line of the report. A stage that fails ends the
 * start, unless the mode is BEST_EFFORT: then it is reported and left out.
 *
 * What the caller must have done before confine_enter(): descriptors 0, 1 and
 * 2 are open (else its own descriptors get those numbers, which is refused), the
 * numbers from CONFINE_EPOLL on are what they should be, SIGPIPE is ignored, the socket
 * for sd_notify is connected. Before confine_seal(): all memory is taken, all locales and
 * libraries are loaded.
 *
 * Nothing outside this folder knows seccomp, Landlock or a namespace. */
#pragma once

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum confine_mode {
    CONFINE_ENFORCE,     /* a stage that fails is fatal */
    CONFINE_BEST_EFFORT, /* it is reported and left out */
    CONFINE_LOG,         /* as ENFORCE, but seccomp only logs (for porting) */
};

/* How many events epoll_pwait may be asked for; no other number is let through. */
#define CONFINE_EPOLL_EVENTS 64

/* The filter knows these descriptors by number: the epoll descriptor, and the
 * settle threads' ends of their sockets, the only ones on which recvmsg may wait.
 * They and 0 to 2 can never be closed, so the numbers stay what they are. All
 * else must stand above. */
#define CONFINE_EPOLL          3
#define CONFINE_SETTLE_SOCKETS 4 /* to 7 */
#define CONFINE_SETTLE_COUNT   4
#define CONFINE_FREE           8

/* What the sandbox must know of the program that it closes in. */
struct confine_plan {
    enum confine_mode mode;

    /* Descriptors to keep open besides those with fixed numbers; any order. Borrowed.
     * Standard input and output are put on /dev/null, standard error is kept. */
    const int *keep;
    size_t keep_count;

    /* RLIMIT_NOFILE: descriptor numbers from here on are refused by the kernel, and descriptors
     * are sent only while no more of this user's are on their way to anybody.
     * At most the hard limit, which nobody but CAP_SYS_RESOURCE can raise. */
    size_t descriptor_limit;

    /* Who to become where started as root; not 0. */
    uid_t uid;
    gid_t gid;

    /* The only two pointers that statx and F_OFD_SETLK may be given; both lie
     * in read-only memory, so their contents are as fixed as the numbers. */
    const char *empty_path;
    const struct flock *unlock_all;
};

enum confine_outcome {
    CONFINE_PENDING, /* not reached yet */
    CONFINE_DONE,
    CONFINE_PARTLY, /* what the kernel or the container allowed; see detail */
    CONFINE_FAILED,
};

#define CONFINE_MAX_STAGES 12

struct confine_stage {
    const char *name;
    enum confine_outcome outcome;
    char detail
        [128]; /* "user mount net ipc uts cgroup", "files, TCP ports", "unshare: EPERM; ..." */
};

struct confine_report {
    struct confine_stage stages[CONFINE_MAX_STAGES];
    size_t count;

    /* Set where the helper lives in a user namespace that knows its own id
     * only: SO_PEERCRED then shows every other uid, root too, as 65534. */
    bool other_users_unknown;
};

/* Both return 0 or -errno, with the stage that failed last in the report.
 * confine_enter() clears the report, confine_seal() goes on with it. */
int confine_enter(const struct confine_plan *plan, struct confine_report *report);
int confine_seal(const struct confine_plan *plan, struct confine_report *report);

/* One line, "descriptors namespaces(user mount net) ... mdwe(partly: ...)", for
 * the ready line. Cuts off at `size`, which is not 0. */
void confine_describe(const struct confine_report *report, char *text, size_t size);

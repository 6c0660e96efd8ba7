/* SPDX-License-Identifier: MIT */
/* What the sandbox costs: each stage once, at the start, and the filter at each
 * call. A benchmark: prints medians and asserts nothing about them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cage.h"
#include "confine/filter.h"
#include "confine/privileges.h"
#include "confine/stage.h"

#define STARTS 51
#define CALLS  200000

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
    const char *name;
    stage_run *run;
} stages[] = {
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
    {"limits", limits_stage},
    {"seccomp", seccomp_stage},
};

/* Microseconds, filled in by the processes that are measured. The clock is read
 * by vDSO; where a machine has none, seccomp ends the measurement. */
static double (*stage_costs)[STARTS];
static double *call_costs; /* nanoseconds a call */
static unsigned turn;

static double now(void) {
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

static int start_measure(struct cage *cage) {
    struct confinement confinement = {.plan = &cage->plan, .report = &cage->report};

    for (size_t i = 0; i < COUNT(stages); i++) {
        struct confine_stage stage = {.outcome = CONFINE_DONE};
        double before = now();
        if (stages[i].run(&confinement, &stage) < 0)
            return 1;
        stage_costs[i][turn] = now() - before;
    }
    return 0;
}

static int compare(const void *one, const void *other) {
    double a = *(const double *)one, b = *(const double *)other;
    return a < b ? -1 : a > b;
}

static void starts_report(const char *title, enum starter starter) {
    double sum = 0;

    for (turn = 0; turn < STARTS; turn++)
        if (cage_run(starter, start_measure) != 0) {
            printf("%s: cannot be measured here\n", title);
            return;
        }
    printf("%s, microseconds (median of %d):\n", title, STARTS);
    for (size_t i = 0; i < COUNT(stages); i++) {
        qsort(stage_costs[i], STARTS, sizeof(double), compare);
        sum += stage_costs[i][STARTS / 2];
        printf("  %-14s %7.1f\n", stages[i].name, stage_costs[i][STARTS / 2]);
    }
    printf("  %-14s %7.1f\n", "sum", sum);
}

/* The calls of one open, from the cheapest end that the kernel has for each. */
static const char *const call_names[] = {"epoll_pwait", "recvmsg", "sendmsg",
                                         "fcntl",       "statx",   "close"};

static void call_make(const struct cage *cage, size_t which) {
    struct epoll_event events[CONFINE_EPOLL_EVENTS];
    struct statx status;

    switch (which) {
    case 0:
        epoll_pwait(CONFINE_EPOLL, events, CONFINE_EPOLL_EVENTS, 0, NULL);
        break;
    case 1:
        recvmsg(cage->settle[0], NULL, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        break;
    case 2:
        sendmsg(cage->settle[0], NULL, MSG_DONTWAIT | MSG_NOSIGNAL);
        break;
    case 3:
        fcntl(0, F_GETFL);
        break;
    case 4:
        statx(0, cage->plan.empty_path, AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS,
              &status);
        break;
    case 5:
        close(40); /* not open */
        break;
    }
}

static int calls_measure(struct cage *cage, double *costs) {
    for (size_t i = 0; i < COUNT(call_names); i++) {
        double before = now();
        for (int call = 0; call < CALLS; call++)
            call_make(cage, i);
        costs[i] = (now() - before) * 1e3 / CALLS;
    }
    return 0;
}

/* Both in one process, so that all but the filter is the same. */
static int filter_measure(struct cage *cage) {
    if (confine_enter(&cage->plan, &cage->report) < 0 || calls_measure(cage, call_costs) != 0 ||
        confine_seal(&cage->plan, &cage->report) < 0)
        return 1;
    return calls_measure(cage, call_costs + COUNT(call_names));
}

static void filter_report(void) {
    if (cage_run(AS_USER, filter_measure) != 0) {
        printf("filter: cannot be measured here\n");
        return;
    }
    printf("filter, nanoseconds a call (mean of %d), without and with:\n", CALLS);
    for (size_t i = 0; i < COUNT(call_names); i++)
        printf("  %-14s %7.1f %7.1f\n", call_names[i], call_costs[i],
               call_costs[COUNT(call_names) + i]);
}

int main(void) {
    size_t size = COUNT(stages) * sizeof(*stage_costs);

    stage_costs =
        mmap(NULL, size + 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (stage_costs == MAP_FAILED)
        return 1;
    call_costs = (double *)((char *)stage_costs + size);
    starts_report("started as root", AS_ROOT);
    starts_report("started as an ordinary user", AS_USER);
    filter_report();
    return 0;
}

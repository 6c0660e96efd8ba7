/* SPDX-License-Identifier: MIT */
/* From the program that libseccomp wrote to the kernel. */
#include "filter.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

/* The program has the halves of addresses, in these words. */
#define LOW(pointer)  ((uint32_t)(uintptr_t)(pointer))
#define HIGH(pointer) ((uint32_t)((uint64_t)(uintptr_t)(pointer) >> 32))

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

size_t filter_make(const struct confine_plan *plan, struct sock_filter *program) {
    const struct sock_filter enforce[] = {
#include "filter-enforce.h"
    };
    const struct sock_filter log[] = {
#include "filter-log.h"
    };
    static_assert(COUNT(enforce) <= FILTER_MAX_INSTRUCTIONS &&
                      COUNT(log) <= FILTER_MAX_INSTRUCTIONS,
                  "the program is too long");

    if (plan->mode == CONFINE_LOG) {
        memcpy(program, log, sizeof(log));
        return COUNT(log);
    }
    memcpy(program, enforce, sizeof(enforce));
    return COUNT(enforce);
}

size_t filter_call_count(void) {
    size_t count = 0;

    /* A call's rules stand together. */
    for (size_t i = 0; i < filter_rule_count; i++)
        if (i == 0 || strcmp(filter_rules[i].call, filter_rules[i - 1].call) != 0)
            count++;
    return count;
}

/* Holds after it: the table of rules, on all threads, for good.
 * Must not have happened before: anything that the table does not allow comes
 * too late now, and nothing follows it. */
int seccomp_stage(struct confinement *confinement, struct confine_stage *stage) {
    const struct confine_plan *plan = confinement->plan;
    struct sock_filter instructions[FILTER_MAX_INSTRUCTIONS];
    struct sock_fprog program = {filter_make(plan, instructions), instructions};
    long result;

    assert(plan->empty_path[0] == '\0' && plan->unlock_all->l_type == F_UNLCK);
    if (plan->mode == CONFINE_LOG)
        stage_partly(stage, "only logs, see the kernel's log: %zu calls", filter_call_count());
    else
        stage_detail(stage, "%zu calls", filter_call_count());
    result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
    /* Positive: the thread that has a filter of its own. */
    if (result != 0)
        return stage_failed(stage, result < 0 ? -errno : -ESRCH, "seccomp",
                            "the kernel needs CONFIG_SECCOMP_FILTER");
    return 0;
}

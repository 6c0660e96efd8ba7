/* From the table of rules to the kernel. */
#include "filter.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "stage.h"

/* libseccomp compares 64 bits. Where the kernel takes 32 of them, what we
 * compare must be those 32: with a plain comparison 0x100000002 is not 2 to us,
 * and 2 to the kernel. Hence no GE, LT or NE here, and a mask everywhere. */
#define INT_MASK 0xffffffffu

/* Most instructions in a filter; ours has about 190. Fits any pipe. */
#define MAX_INSTRUCTIONS 512

/* Whether close must not be given one of the `count` descriptors from `first` on. */
static bool has_fixed(const struct confine_plan *plan, uint32_t first, uint32_t count) {
    if (first <= STDERR_FILENO || (uint32_t)plan->epoll - first < count)
        return true;
    for (size_t i = 0; i < plan->settle_socket_count; i++)
        if ((uint32_t)plan->settle_sockets[i] - first < count)
            return true;
    return false;
}

/* What may be closed, as blocks of numbers that share their upper bits: with
 * masks that is the only way to say "all but these". Each is as large as its
 * alignment and the next fixed number allow; the last may overshoot the limit,
 * where there are no descriptors. Returns false if there are not that many. */
static bool closable_block(const struct confine_plan *plan, size_t which, uint32_t *first,
                           uint32_t *count) {
    *count = 1;
    for (*first = 1; *first < plan->descriptor_limit; *first += *count) {
        *count = *first & -*first;
        while (*count > 1 && has_fixed(plan, *first, *count))
            *count /= 2;
        if (!has_fixed(plan, *first, *count) && which-- == 0)
            return true;
    }
    return false;
}

/* The flags that the helper sets; only O_DIRECT differs between our architectures. */
static uint32_t status_flags(uint32_t architecture) {
    uint32_t direct = architecture == SCMP_ARCH_AARCH64 ? 0200000 : 040000;
    return O_APPEND | O_NONBLOCK | O_NOATIME | direct;
}

static struct scmp_arg_cmp compare_int(unsigned index, uint32_t mask, uint32_t value) {
    return (struct scmp_arg_cmp){index, SCMP_CMP_MASKED_EQ, mask, value};
}

static struct scmp_arg_cmp compare_pointer(unsigned index, const void *pointer) {
    return (struct scmp_arg_cmp){index, SCMP_CMP_EQ, (uintptr_t)pointer, 0};
}

/* Some tests hold in several ways: this fills in the `variant`th, and returns
 * false if there are not that many. The others have the same for each. */
static bool argument_compare(const struct confine_plan *plan, uint32_t architecture,
                             const struct filter_argument *argument, size_t variant,
                             struct scmp_arg_cmp *compare) {
    unsigned index = argument->index;
    uint32_t first, count;

    switch (argument->test) {
    case FILTER_CLOSABLE:
        if (!closable_block(plan, variant, &first, &count))
            return false;
        *compare = compare_int(index, INT_MASK & -count, first);
        return true;
    case FILTER_SETTLE_SOCKET:
        if (variant == plan->settle_socket_count)
            return false;
        *compare = compare_int(index, INT_MASK, plan->settle_sockets[variant]);
        return true;
    case FILTER_INT:
        *compare = compare_int(index, INT_MASK, argument->value);
        return true;
    case FILTER_STATUS_FLAGS:
        *compare = compare_int(index, INT_MASK & ~status_flags(architecture), 0);
        return true;
    case FILTER_EPOLL:
        *compare = compare_int(index, INT_MASK, plan->epoll);
        return true;
    case FILTER_NULL:
        *compare = compare_pointer(index, NULL);
        return true;
    case FILTER_EMPTY_PATH:
        *compare = compare_pointer(index, plan->empty_path);
        return true;
    case FILTER_UNLOCK_ALL:
        *compare = compare_pointer(index, plan->unlock_all);
        return true;
    case FILTER_NONE:
        break;
    }
    assert(!"a test that argument_compare() does not know");
    return false;
}

static bool has_variants(const struct filter_rule *rule) {
    for (size_t i = 0; i < FILTER_MAX_ARGUMENTS; i++)
        if (rule->arguments[i].test == FILTER_CLOSABLE ||
            rule->arguments[i].test == FILTER_SETTLE_SOCKET)
            return true;
    return false;
}

static int rule_add(scmp_filter_ctx context, const struct confine_plan *plan, uint32_t architecture,
                    const struct filter_rule *rule) {
    int call = seccomp_syscall_resolve_name(rule->call);
    size_t variant = 0;
    int result;

    assert(call >= 0);
    do {
        struct scmp_arg_cmp compare[FILTER_MAX_ARGUMENTS];
        unsigned count = 0;

        for (; count < FILTER_MAX_ARGUMENTS && rule->arguments[count].test; count++)
            if (!argument_compare(plan, architecture, &rule->arguments[count], variant,
                                  &compare[count]))
                return 0;
        result = seccomp_rule_add_exact_array(context, SCMP_ACT_ALLOW, call, count, compare);
        variant++;
    } while (result == 0 && has_variants(rule));
    return result;
}

/* All rules for one architecture; what stands first in the table is tried first. */
static int rules_add(scmp_filter_ctx context, const struct confine_plan *plan,
                     uint32_t architecture) {
    int result = 0;

    if (architecture != seccomp_arch_native()) {
        result = seccomp_arch_remove(context, SCMP_ARCH_NATIVE);
        if (result == 0)
            result = seccomp_arch_add(context, architecture);
    }
    for (size_t i = 0; result == 0 && i < filter_rule_count; i++) {
        result = seccomp_syscall_priority(
            context, seccomp_syscall_resolve_name(filter_rules[i].call), UINT8_MAX - i);
        if (result == 0)
            result = rule_add(context, plan, architecture, &filter_rules[i]);
    }
    return result;
}

int filter_export(const struct confine_plan *plan, uint32_t architecture, int fd) {
    bool log = plan->mode == CONFINE_LOG;
    scmp_filter_ctx context = seccomp_init(log ? SCMP_ACT_LOG : SCMP_ACT_KILL_PROCESS);
    int result;

    if (!context)
        return -ENOMEM;
    /* The kernel's errors as they are, not what libseccomp makes of them. */
    result = seccomp_attr_set(context, SCMP_FLTATR_API_SYSRAWRC, 1);
    /* Also when logging: nobody ports the helper to another ABI within one process. */
    if (result == 0)
        result = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (result == 0)
        result = rules_add(context, plan, architecture);
    if (result == 0)
        result = seccomp_export_bpf(context, fd);
    seccomp_release(context);
    return result;
}

/* The program for this machine, by way of a pipe: libseccomp can only write it. */
static int filter_build(const struct confine_plan *plan, struct sock_fprog *to) {
    int pipe[2];
    ssize_t length;
    int result;

    if (pipe2(pipe, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    result = filter_export(plan, seccomp_arch_native(), pipe[1]);
    length = read(pipe[0], to->filter, MAX_INSTRUCTIONS * sizeof(struct sock_filter));
    close(pipe[0]);
    close(pipe[1]);
    if (result < 0 || length <= 0)
        return result < 0 ? result : -EIO;
    to->len = length / sizeof(struct sock_filter);
    return 0;
}

/* Empty until it is built. */
static struct sock_filter instructions[MAX_INSTRUCTIONS];
static struct sock_fprog program = {.filter = instructions};

void confine_prepare(const struct confine_plan *plan) {
    filter_build(plan, &program);
}

/* Holds after it: the table of rules, on all threads, for good.
 * Must not have happened before: anything that the table does not allow comes
 * too late now, so libseccomp has given back its memory before the kernel gets
 * the program (free() may call brk), and nothing follows it. For that reason it
 * is not libseccomp that loads it. */
int seccomp_stage(struct confinement *confinement, struct confine_stage *stage) {
    const struct confine_plan *plan = confinement->plan;
    long result;

    assert(plan->empty_path[0] == '\0' && plan->unlock_all->l_type == F_UNLCK);
    result = program.len > 0 ? 0 : filter_build(plan, &program);
    if (result < 0)
        return stage_failed(stage, result, "libseccomp", "it needs 2.5 or later");
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

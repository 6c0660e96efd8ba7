/* SPDX-License-Identifier: MIT */
/* From the table of rules to a program, by libseccomp, while the helper is built. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>

#include "filter.h"

/* libseccomp compares 64 bits. Where the kernel takes 32 of them, what we
 * compare must be those 32: with a plain comparison 0x100000002 is not 2 to us,
 * and 2 to the kernel. Hence no GE, LT or NE here, and a mask everywhere. */
#define INT_MASK 0xffffffffu

/* What may be closed has no sign and one of these bits: with masks that is the way
 * to say "at least CONFINE_FREE". */
#define LOWEST_BIT __builtin_ctz(CONFINE_FREE)
#define SIGN_BIT   0x80000000u

static_assert((CONFINE_FREE & (CONFINE_FREE - 1)) == 0 &&
                  (CONFINE_SETTLE_COUNT & (CONFINE_SETTLE_COUNT - 1)) == 0 &&
                  CONFINE_SETTLE_SOCKETS % CONFINE_SETTLE_COUNT == 0,
              "masks cannot tell these numbers from others");

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
    uint32_t bit = UINT32_C(1) << (LOWEST_BIT + variant);

    switch (argument->test) {
    case FILTER_CLOSABLE:
        *compare = compare_int(index, SIGN_BIT | bit, bit);
        return bit != SIGN_BIT;
    case FILTER_SETTLE_SOCKET:
        *compare = compare_int(index, INT_MASK & -CONFINE_SETTLE_COUNT, CONFINE_SETTLE_SOCKETS);
        return true;
    case FILTER_INT:
        *compare = compare_int(index, INT_MASK, argument->value);
        return true;
    case FILTER_STATUS_FLAGS:
        *compare = compare_int(index, INT_MASK & ~status_flags(architecture), 0);
        return true;
    case FILTER_WITHIN:
        *compare = compare_int(index, INT_MASK & ~argument->value, 0);
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

/* As the native architecture numbers it, which libseccomp translates. */
static int call_number(uint32_t architecture, const struct filter_rule *rule) {
    bool there = seccomp_syscall_resolve_name_arch(architecture, rule->call) >= 0;

    assert(there || rule->elsewhere);
    return seccomp_syscall_resolve_name(there ? rule->call : rule->elsewhere);
}

static int rule_add(scmp_filter_ctx context, const struct confine_plan *plan, uint32_t architecture,
                    const struct filter_rule *rule) {
    int call = call_number(architecture, rule);
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
    } while (result == 0 && rule->arguments[0].test == FILTER_CLOSABLE);
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
        result = seccomp_syscall_priority(context, call_number(architecture, &filter_rules[i]),
                                          UINT8_MAX - i);
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

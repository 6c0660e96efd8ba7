/* SPDX-License-Identifier: MIT */
/* A helper that is traced: a test is given this program in place of the helper.
 * It runs the one that SANDBOX_TRACE_HELPER names, and writes to the file
 * SANDBOX_TRACE_OUTPUT which rules of its sandbox it uses: a line "INDEX" as a
 * rule lets its first call through, a line "INDEX FLAGS" for each new value of
 * what FILTER_STATUS_FLAGS lets through, and a line "? ..." for a call that no
 * rule explains, or more than one. Only what follows the loading of the filter
 * counts. */
#include <err.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/seccomp.h>

#include "confine/filter.h"
#include "tracer.h"

typedef struct __ptrace_syscall_info call_info;

#define MAX_RULES 64

/* ------------------------------------------------------------------- rules */

/* What the filter compares with the plan is as it should be, or the call would
 * be deadly: the rest is enough to tell the rules of one call apart. */
static bool argument_fits(const struct filter_argument *argument, const call_info *info) {
    uint64_t value = info->entry.args[argument->index];

    if (argument->test == FILTER_INT)
        return (uint32_t)value == argument->value;
    if (argument->test == FILTER_WITHIN)
        return ((uint32_t)value & ~argument->value) == 0;
    return argument->test != FILTER_NULL || value == 0;
}

/* The one argument that leaves the helper a choice among listed values is told. */
static bool rule_fits(const struct filter_rule *rule, const call_info *info, uint32_t *flags) {
    if ((int)info->entry.nr != seccomp_syscall_resolve_name(rule->call))
        return false;
    *flags = 0;
    for (size_t i = 0; i < FILTER_MAX_ARGUMENTS && rule->arguments[i].test; i++) {
        if (!argument_fits(&rule->arguments[i], info))
            return false;
        if (rule->arguments[i].test == FILTER_STATUS_FLAGS)
            *flags = (uint32_t)info->entry.args[rule->arguments[i].index];
    }
    return true;
}

static void write_line(const char *format, ...) {
    char line[200];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (write(STDOUT_FILENO, line, (size_t)length) != length)
        _exit(1);
}

/* Each once, and again for flags that were not there before. */
static void note_rule(size_t rule, uint32_t flags) {
    static bool noted[MAX_RULES];
    static uint32_t seen[MAX_RULES];

    if (!noted[rule])
        write_line("%zu\n", rule);
    if (flags & ~seen[rule])
        write_line("%zu %#x\n", rule, flags);
    noted[rule] = true;
    seen[rule] |= flags;
}

static void note_call(const call_info *info) {
    uint32_t flags, chosen_flags = 0;
    size_t chosen = 0;
    int fitting = 0;

    for (size_t i = 0; i < filter_rule_count; i++)
        if (rule_fits(&filter_rules[i], info, &flags)) {
            fitting++;
            chosen = i;
            chosen_flags = flags;
        }
    if (fitting == 1)
        note_rule(chosen, chosen_flags);
    else
        write_line("? call %d(%#lx, %#lx, %#lx, ...): %d rules\n", (int)info->entry.nr,
                   (long)info->entry.args[0], (long)info->entry.args[1], (long)info->entry.args[2],
                   fitting);
}

/* ----------------------------------------------------------------- tracing */

/* Before the kernel looks at its filter, and after the call. */
static void call_stopped(pid_t thread) {
    static bool sealed;
    static pid_t sealing;
    call_info info;

    if (ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof(info), &info) < 0)
        return; /* killed meanwhile */
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY && sealed)
        note_call(&info);
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY && info.entry.nr == SYS_seccomp &&
        info.entry.args[0] == SECCOMP_SET_MODE_FILTER)
        sealing = thread;
    if (info.op == PTRACE_SYSCALL_INFO_EXIT && thread == sealing) {
        sealing = 0;
        sealed |= !info.exit.is_error;
    }
}

int main(int argc, char **argv) {
    const char *helper = getenv("SANDBOX_TRACE_HELPER"), *file = getenv("SANDBOX_TRACE_OUTPUT");

    (void)argc;
    if (!helper || !file || filter_rule_count > MAX_RULES)
        errx(125, "SANDBOX_TRACE_HELPER and SANDBOX_TRACE_OUTPUT are not set: sandbox-needed does");
    int output = tracer_lift(open(file, O_WRONLY | O_APPEND | O_CLOEXEC));
    if (output < 0)
        err(125, "%s", file);
    tracer_exec(helper, argv, output, call_stopped);
}

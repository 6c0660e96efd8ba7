/* A helper that is traced: a test is given this program in place of the helper.
 * It runs the one that SANDBOX_TRACE_HELPER names, and writes to the file
 * SANDBOX_TRACE_OUTPUT which rules of its sandbox it uses: a line "INDEX" as a
 * rule lets its first call through, a line "INDEX FLAGS" for each new value of
 * what FILTER_STATUS_FLAGS lets through, and a line "? ..." for a call that no
 * rule explains, or more than one. Only what follows the loading of the filter
 * counts.
 *
 * The helper stays the process that was started, with its parent: the tracer is
 * a child that attaches to it, so a test need not know that it is there. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/seccomp.h>

#include "confine/filter.h"

typedef struct __ptrace_syscall_info call_info;

#define MAX_RULES 64

static int output;

/* ------------------------------------------------------------------- rules */

/* What the filter compares with the plan is as it should be, or the call would
 * be deadly: the rest is enough to tell the rules of one call apart. */
static bool argument_fits(const struct filter_argument *argument, const call_info *info) {
    uint64_t value = info->entry.args[argument->index];

    if (argument->test == FILTER_INT)
        return (uint32_t)value == argument->value;
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
    if (write(output, line, (size_t)length) != length)
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

static bool is_stop(int number) {
    return number == SIGSTOP || number == SIGTSTP || number == SIGTTIN || number == SIGTTOU;
}

static void trace(void) {
    int status;
    pid_t thread;

    while ((thread = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
        int number = WSTOPSIG(status), event = status >> 16, request = PTRACE_SYSCALL;
        if (thread < 0 || !WIFSTOPPED(status))
            continue;
        if (number == (SIGTRAP | 0x80))
            call_stopped(thread);
        if (event == PTRACE_EVENT_STOP && is_stop(number))
            request = PTRACE_LISTEN;
        /* Signals go on to where they went. */
        ptrace(request, thread, 0, event || number == (SIGTRAP | 0x80) ? 0 : number);
    }
}

/* Holds nothing open that the helper or its test would see the end of. */
static void trace_parent(int ready) {
    const long options =
        PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;

    if (dup2(ready, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0 ||
        close_range(3, ~0u, 0) < 0)
        _exit(1);
    output = 1;
    if (ptrace(PTRACE_SEIZE, getppid(), 0, options) < 0 || write(0, "", 1) != 1)
        err(1, "? ptrace");
    close(0);
    trace();
    _exit(0);
}

/* A helper may be started without standard streams. None of ours takes their place. */
static int lift(int fd) {
    int lifted = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

    close(fd);
    return lifted;
}

int main(int argc, char **argv) {
    const char *helper = getenv("SANDBOX_TRACE_HELPER"), *file = getenv("SANDBOX_TRACE_OUTPUT");
    int ready[2];
    char byte;

    (void)argc;
    if (!helper || !file || filter_rule_count > MAX_RULES)
        errx(125, "SANDBOX_TRACE_HELPER and SANDBOX_TRACE_OUTPUT are not set: sandbox-needed does");
    output = lift(open(file, O_WRONLY | O_APPEND | O_CLOEXEC));
    if (output < 0 || pipe2(ready, O_CLOEXEC) < 0)
        err(125, "%s", file);
    ready[0] = lift(ready[0]);
    ready[1] = lift(ready[1]);
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
    pid_t tracer = fork();
    if (tracer == 0)
        trace_parent(ready[1]);
    close(ready[1]);
    if (tracer < 0 || read(ready[0], &byte, 1) != 1)
        errx(125, "cannot trace");
    close(ready[0]);
    close(output);
    execv(helper, argv);
    err(125, "%s", helper);
}

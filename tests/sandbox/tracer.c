/* SPDX-License-Identifier: MIT */
/* Runs a program traced, in place of the caller: see tracer.h. */
#include "tracer.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static bool is_stop(int number) {
    return number == SIGSTOP || number == SIGTSTP || number == SIGTTIN || number == SIGTTOU;
}

static void trace(tracer_stopped *stopped) {
    int status;
    pid_t thread;

    while ((thread = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
        int number = WSTOPSIG(status), event = status >> 16, request = PTRACE_SYSCALL;
        if (thread < 0 || !WIFSTOPPED(status))
            continue;
        if (number == (SIGTRAP | 0x80))
            stopped(thread);
        if (event == PTRACE_EVENT_STOP && is_stop(number))
            request = PTRACE_LISTEN;
        /* Signals go on to where they went. */
        ptrace(request, thread, 0, event || number == (SIGTRAP | 0x80) ? 0 : number);
    }
}

static void trace_parent(int ready, int output, tracer_stopped *stopped) {
    const long options =
        PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;

    setpgid(0, 0); /* what a terminal sends to the helper's group is not for us */
    if (output < 0)
        output = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (dup2(ready, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0 ||
        close_range(3, ~0u, 0) < 0)
        _exit(1);
    if (ptrace(PTRACE_SEIZE, getppid(), 0, options) < 0 || write(0, "", 1) != 1)
        err(1, "? ptrace");
    close(0);
    trace(stopped);
    _exit(0);
}

int tracer_lift(int fd) {
    int lifted = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

    close(fd);
    return lifted;
}

void tracer_exec(const char *program, char **argv, int output, tracer_stopped *stopped) {
    int ready[2];
    char byte;

    if (pipe2(ready, O_CLOEXEC) < 0)
        err(125, "pipe");
    ready[0] = tracer_lift(ready[0]);
    ready[1] = tracer_lift(ready[1]);
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
    pid_t tracer = fork();
    if (tracer == 0)
        trace_parent(ready[1], output, stopped);
    close(ready[1]);
    if (tracer < 0 || read(ready[0], &byte, 1) != 1)
        errx(125, "cannot trace");
    close(ready[0]);
    if (output >= 0)
        close(output);
    execv(program, argv);
    err(125, "%s", program);
}

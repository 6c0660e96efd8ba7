/* SPDX-License-Identifier: MIT */
/* A process that closes itself in: see cage.h. */
#include "cage.h"

#include <errno.h>
#include <grp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "confine/stage.h"

#ifndef PR_GET_MDWE
#define PR_GET_MDWE 66
#endif

const char cage_empty_path[1] = "";
const struct flock cage_unlock_all = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

bool cage_can_start(enum starter starter) {
    return geteuid() == 0 || starter == AS_USER;
}

/* Changing ids makes a process undumpable, which exec would undo. */
void cage_become(uid_t uid) {
    if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0 ||
        prctl(PR_SET_DUMPABLE, 1) < 0)
        cage_exit(2);
}

/* cmocka catches deadly signals, and would go on with the tests in the child. */
static void signals_reset(void) {
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
}

/* All settle threads' sockets are one. What the tester had open there, or where
 * `control` was, is lost. */
static void numbers_take(struct cage *cage, int control) {
    int pair[2], epoll = epoll_create1(EPOLL_CLOEXEC);

    if (control >= 0)
        cage->control = fcntl(control, F_DUPFD_CLOEXEC, CONFINE_FREE);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        cage_exit(2);
    cage->settle[0] = fcntl(pair[0], F_DUPFD_CLOEXEC, CONFINE_FREE);
    epoll = fcntl(epoll, F_DUPFD_CLOEXEC, CONFINE_FREE);
    pair[1] = fcntl(pair[1], F_DUPFD_CLOEXEC, CONFINE_FREE);
    if (dup3(epoll, CONFINE_EPOLL, O_CLOEXEC) < 0)
        cage_exit(2);
    for (int i = 0; i < CONFINE_SETTLE_COUNT; i++)
        if (dup3(pair[1], CONFINE_SETTLE_SOCKETS + i, O_CLOEXEC) < 0)
            cage_exit(2);
}

static void cage_fill(struct cage *cage, int control) {
    cage->control = -1;
    cage->settle[1] = CONFINE_SETTLE_SOCKETS;
    numbers_take(cage, control);
    cage->plan = (struct confine_plan){
        .keep = cage->keep,
        .keep_count = control < 0 ? 1 : 2,
        .descriptor_limit = CAGE_DESCRIPTORS,
        .uid = CAGE_UID,
        .gid = CAGE_UID,
        .empty_path = cage_empty_path,
        .unlock_all = &cage_unlock_all,
    };
    /* In no order, as the contract allows. */
    cage->keep[0] = cage->settle[0];
    cage->keep[1] = cage->control;
}

/* The child's end of the control socket is `control`, its standard error `log`. */
static pid_t child_start(enum starter starter, int control, int log,
                         int (*body)(struct cage *cage)) {
    struct cage cage = {0};
    pid_t child;

    fflush(NULL);
    child = fork();
    if (child != 0)
        return child;
    signals_reset();
    cage.kernel_has_mdwe = prctl(PR_GET_MDWE, 0, 0, 0, 0) >= 0;   /* Linux 6.3 */
    cage.kernel_has_mseal = syscall(CALL_MSEAL, NULL, 0, 0) == 0; /* Linux 6.10 */
    cage.tester = getppid();
    cage.tester_uid = geteuid();
    if (starter != AS_ROOT && geteuid() == 0)
        cage_become(starter == AS_USER ? CAGE_UID : 65534);
    dup2(log, STDERR_FILENO);
    cage_fill(&cage, control);
    cage_exit(body(&cage));
}

pid_t cage_start(enum starter starter, int *control, int (*body)(struct cage *cage)) {
    int pair[2];
    pid_t child;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -1;
    child = child_start(starter, pair[1], STDERR_FILENO, body);
    close(pair[1]);
    *control = pair[0];
    return child;
}

/* The log goes through a pipe: a file would change what is tried (see "limits"). */
int cage_run(enum starter starter, int (*body)(struct cage *cage)) {
    char text[4096];
    int log[2], status = -1;
    ssize_t length;
    pid_t child;

    if (pipe2(log, O_CLOEXEC) < 0)
        return -1;
    child = child_start(starter, -1, log[1], body);
    close(log[1]);
    while ((length = read(log[0], text, sizeof(text))) > 0)
        fwrite(text, 1, length, stderr);
    close(log[0]);
    if (child < 0 || waitpid(child, &status, 0) < 0)
        return -1;
    return status;
}

void cage_test(enum starter starter, int (*body)(struct cage *cage)) {
    if (!cage_can_start(starter))
        skip();
    assert_int_equal(cage_run(starter, body), 0);
}

static void refuse(int call, int error, unsigned count, const struct scmp_arg_cmp *compare) {
    scmp_filter_ctx context = seccomp_init(SCMP_ACT_ALLOW);

    if (!context || seccomp_rule_add_array(context, SCMP_ACT_ERRNO(error), call, count, compare) ||
        seccomp_load(context))
        cage_exit(2);
    seccomp_release(context);
}

void cage_refuse(int call, int error) {
    refuse(call, error, 0, NULL);
}

void cage_refuse_if(int call, int error, unsigned index, uint64_t value) {
    refuse(call, error, 1, &(struct scmp_arg_cmp){index, SCMP_CMP_EQ, value, 0});
}

bool cage_all_done(const struct cage *cage) {
    for (size_t i = 0; i < cage->report.count; i++)
        if (cage->report.stages[i].outcome != CONFINE_DONE &&
            (cage->kernel_has_mdwe || strcmp(cage->report.stages[i].name, "mdwe") != 0) &&
            (cage->kernel_has_mseal || strcmp(cage->report.stages[i].name, "mseal") != 0))
            return false;
    return cage->report.count > 0;
}

enum confine_outcome cage_outcome(const struct cage *cage, const char *stage) {
    for (size_t i = 0; i < cage->report.count; i++)
        if (!strcmp(cage->report.stages[i].name, stage))
            return cage->report.stages[i].outcome;
    return CONFINE_PENDING;
}

long cage_call(long number, const unsigned long *arguments) {
    return syscall(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4],
                   arguments[5]);
}

long cage_call_i386(long number, const unsigned long *arguments) {
#ifdef __x86_64__
    long result;

    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(number), "b"(arguments[0]), "c"(arguments[1]), "d"(arguments[2]),
                       "S"(arguments[3]), "D"(arguments[4])
                     : "memory", "r8", "r9", "r10", "r11");
    return result;
#else
    (void)number, (void)arguments;
    return -ENOSYS;
#endif
}

_Noreturn void cage_exit(int status) {
    for (;;)
        syscall(SYS_exit_group, status);
}

void cage_complain(const char *file, int line, const char *condition, const struct cage *cage) {
    char text[1000];
    int length = snprintf(text, sizeof(text), "# %s:%d: not so: %s (errno %s)\n# ", file, line,
                          condition, strerrorname_np(errno));

    if (length > 0 && (size_t)length < sizeof(text))
        confine_describe(&cage->report, text + length, sizeof(text) - length - 1);
    strcat(text, "\n");
    /* Where it may not, it will die of it, which is a failure as well. */
    syscall(SYS_write, STDERR_FILENO, text, strlen(text));
}

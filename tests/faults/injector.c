/* SPDX-License-Identifier: MIT */
/* The injector: a test is given this program in place of the helper; plan.h.
 *
 * A call that is not to be made cannot be made void: the kernel looks at its
 * filter after us, and no filter knows of a call without a number. So another
 * is made in its place, which the filter allows and which does nothing. */
#include "plan.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <unistd.h>

#include "start-errors.h"
#include "tracer.h"

typedef struct __ptrace_syscall_info call_info;
typedef struct user_regs_struct registers;

#define MAX_THREADS 16

static struct plan *plan;
static pid_t helper;

/* A thread whose call was tampered with, until its end. */
static struct tampered {
    pid_t thread; /* 0: none */
    registers before;
} tampered[MAX_THREADS];

/* The helper's ends of its settle threads' sockets. */
#define MAX_DESCRIPTORS 64
static bool is_settle_socket[MAX_DESCRIPTORS];
static uint64_t socket_pair; /* where one under way will be, 0 for none */
static bool is_moving;       /* one of them, to another number */

static uint64_t peek(pid_t thread, uint64_t address) {
    errno = 0;
    long word = ptrace(PTRACE_PEEKDATA, thread, address, 0);
    return errno ? 0 : (uint64_t)word;
}

/* ------------------------------------------------------------- what it is */

static uint64_t control_length(pid_t thread, const call_info *info) {
    return peek(thread, info->entry.args[1] + offsetof(struct msghdr, msg_controllen));
}

static int receive_point(pid_t thread, const call_info *info) {
    if (!(info->entry.args[2] & MSG_DONTWAIT))
        return POINT_AWAIT_WORK;
    if (info->entry.args[0] < MAX_DESCRIPTORS && is_settle_socket[info->entry.args[0]])
        return POINT_HEAR_SETTLED;
    return control_length(thread, info) ? POINT_RECEIVE_FDS : POINT_RECEIVE;
}

static int send_point(pid_t thread, const call_info *info) {
    if (thread != helper)
        return POINT_SAY_SETTLED;
    if (info->entry.args[0] < MAX_DESCRIPTORS && is_settle_socket[info->entry.args[0]])
        return POINT_GIVE_WORK;
    return control_length(thread, info) ? POINT_SEND_FDS : POINT_SEND;
}

static int fcntl_point(const call_info *info) {
    switch (info->entry.args[1]) {
    case F_GETFL:
        return POINT_ASK_FLAGS;
    case F_SETFL:
        return POINT_SET_FLAGS;
    case F_OFD_SETLK:
        return POINT_UNLOCK;
    case F_SETLEASE:
    case F_SETSIG:
    case F_SETOWN:
        return POINT_SWEEP;
    }
    return -1;
}

static int point_of(pid_t thread, const call_info *info) {
    switch (info->entry.nr) {
    case SYS_recvmsg:
        return receive_point(thread, info);
    case SYS_sendmsg:
        return send_point(thread, info);
    case SYS_fcntl:
        return fcntl_point(info);
    case SYS_epoll_pwait:
        return POINT_WAIT;
    case SYS_epoll_ctl:
        return info->entry.args[1] == EPOLL_CTL_ADD ? POINT_WATCH : -1;
    case SYS_accept4:
        return POINT_ACCEPT;
    case SYS_flock:
        return POINT_SWEEP;
    case SYS_close:
        return POINT_CLOSE;
    case SYS_statx:
        return POINT_LOOK;
    case SYS_fstatfs:
        return POINT_ASK_FS;
    case SYS_getsockopt:
        return info->entry.args[2] == SO_PEERCRED ? POINT_ASK_PEER : POINT_ASK_UNREAD;
    }
    return -1;
}

/* main() begins by opening /dev/null; the loader opens nothing for writing. */
static bool is_start(const call_info *info) {
    static enum { BEFORE, WITHIN, OVER } when;

    if (when == BEFORE && info->entry.nr == SYS_openat &&
        (info->entry.args[2] & O_ACCMODE) == O_RDWR)
        when = WITHIN;
    if (when == WITHIN && info->entry.nr == SYS_epoll_pwait)
        when = OVER;
    return when == WITHIN;
}

/* -------------------------------------------------------------- what is done */

static struct tampered *find(pid_t thread) {
    for (int i = 0; i < MAX_THREADS; i++)
        if (tampered[i].thread == thread)
            return &tampered[i];
    errx(1, "too many threads");
}

/* A question about no descriptor. */
static void replace_call(pid_t thread, struct tampered *call) {
    registers now = call->before;

    now.orig_rax = SYS_fcntl;
    now.rdi = (unsigned long long)-1;
    now.rsi = F_GETFL;
    ptrace(PTRACE_SETREGS, thread, 0, &now);
}

static void cut_control(pid_t thread, const registers *before) {
    uint64_t address = before->rsi + offsetof(struct msghdr, msg_controllen);
    ptrace(PTRACE_POKEDATA, thread, address, CMSG_SPACE(sizeof(int)));
}

static void strike(pid_t thread) {
    struct tampered *call = find(0);

    ptrace(PTRACE_GETREGS, thread, 0, &call->before);
    if (plan->manner == MANNER_CUT_CONTROL)
        cut_control(thread, &call->before);
    else
        call->thread = thread;
    if (plan->manner == MANNER_INSTEAD)
        replace_call(thread, call);
    plan->struck = true;
    if (plan->fitted + 1 >= plan->which + plan->times)
        plan->armed = false;
}

static void give_result(pid_t thread, struct tampered *call) {
    registers after = call->before;
    int error = plan->point == POINT_START ? plan->gave : plan->error;

    after.rax = (unsigned long long)-(long long)error;
    ptrace(PTRACE_SETREGS, thread, 0, &after);
    call->thread = 0;
}

/* Of the start: any call that can fail. One with fewer errors than asked for
 * gives its first. */
static bool start_fits(const call_info *info) {
    const struct start_call *call = start_call_find((int)info->entry.nr);

    if (!call || plan->fitted + 1 < plan->which)
        return call;
    plan->call = call->call;
    plan->gave = call->errors[plan->error] ? call->errors[plan->error] : call->errors[0];
    plan->manner = call->call == SYS_close ? MANNER_AFTERWARDS : MANNER_INSTEAD;
    return true;
}

static void call_begins(pid_t thread, const call_info *info) {
    bool start = is_start(info), fits = false;

    if (thread == helper)
        plan->resting = info->entry.nr == SYS_epoll_pwait;
    if (info->entry.nr == SYS_socketpair && start)
        socket_pair = info->entry.args[3];
    is_moving = start && info->entry.nr == SYS_fcntl && info->entry.args[1] == F_DUPFD_CLOEXEC &&
                info->entry.args[0] < MAX_DESCRIPTORS && is_settle_socket[info->entry.args[0]];
    if (!plan->armed)
        return;
    if (plan->point == POINT_START)
        fits = start && start_fits(info);
    else
        fits = !start && point_of(thread, info) == (int)plan->point;
    if (fits && ++plan->fitted >= plan->which)
        strike(thread);
}

static void call_ends(pid_t thread, const call_info *info) {
    if (thread == helper)
        plan->resting = false;
    if (is_moving && info->exit.rval >= 0 && info->exit.rval < MAX_DESCRIPTORS)
        is_settle_socket[info->exit.rval] = true;
    is_moving = false;
    if (socket_pair) {
        uint64_t pair = peek(thread, socket_pair);
        if ((uint32_t)pair < MAX_DESCRIPTORS)
            is_settle_socket[(uint32_t)pair] = true;
        socket_pair = 0;
    }
    for (int i = 0; i < MAX_THREADS; i++)
        if (tampered[i].thread == thread)
            give_result(thread, &tampered[i]);
}

static void stopped(pid_t thread) {
    call_info info;

    if (ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof(info), &info) < 0)
        return; /* killed meanwhile */
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
        call_begins(thread, &info);
    else
        call_ends(thread, &info);
}

int main(int argc, char **argv) {
    const char *program = getenv("FAULTS_HELPER"), *number = getenv("FAULTS_PLAN");

    (void)argc;
    if (!program || !number)
        errx(125, "FAULTS_HELPER and FAULTS_PLAN are not set: run this by meson test");
    int fd = atoi(number);
    plan = mmap(NULL, sizeof(*plan), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (plan == MAP_FAILED)
        err(125, "FAULTS_PLAN");
    close(fd);
    helper = getpid();
    tracer_exec(program, argv, -1, stopped);
}

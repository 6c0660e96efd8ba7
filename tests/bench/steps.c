/* SPDX-License-Identifier: MIT */
/* How much of an open is the kernel's: from floor A in steps to the very system calls
 * of an open and a close, in a process with the helper's filter, but without a thought
 * in between. What fdset_open() takes beyond that is ours to mend; that is not. */
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "confine/filter.h"
#include "floor.h"
#include "groups.h"
#include "ours.h"

#define INSTANCES 6
#define ROUNDS    30
#define SAMPLES   64

#define PACKET_BYTES       16384
#define PACKET_DESCRIPTORS 253

/* Each has what those before it have. */
enum step { CALLS, THREADS, FILTER, CLOSE, SETTLE, STEPS };

static const char *const names[STEPS] = {
    [CALLS] = "+ called as the helper and libfdset do",
    [THREADS] = "+ a second thread, another user",
    [FILTER] = "+ the helper's filter: an open",
    [CLOSE] = "+ close(2), and a packet that says so",
    [SETTLE] = "+ locks and flags put right: open + close",
};

static const struct flock unlock_all = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * PACKET_DESCRIPTORS)];
};

/* ------------------------------------------------------------- the server */

static void *wait_for_ever(void *argument) {
    for (;;)
        pause();
    return NULL;
}

/* The helper's own; what it would kill for is logged, for the end of the process. */
static void filter_load(void) {
    const struct confine_plan plan = {
        .mode = CONFINE_LOG, .empty_path = "", .unlock_all = &unlock_all};
    struct sock_filter instructions[FILTER_MAX_INSTRUCTIONS];
    struct sock_fprog program = {(unsigned short)filter_make(&plan, instructions), instructions};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0)
        _exit(1);
}

static void serve(int socket, int fd, enum step step) {
    static char bytes[PACKET_BYTES];
    struct epoll_event event = {.events = EPOLLIN}, events[64];
    pthread_t thread;

    socket = fcntl(socket, F_DUPFD_CLOEXEC, CONFINE_FREE);
    fd = fcntl(fd, F_DUPFD_CLOEXEC, CONFINE_FREE);
    int epoll = dup3(epoll_create1(EPOLL_CLOEXEC), CONFINE_EPOLL, O_CLOEXEC);
    epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &event);
    if (step >= THREADS)
        pthread_create(&thread, NULL, wait_for_ever, NULL);
    if (step >= THREADS && geteuid() == 0 && setuid(65534) < 0)
        _exit(1);
    if (step >= FILTER)
        filter_load();
    while (epoll_pwait(epoll, events, 64, -1, NULL) == 1) {
        struct iovec vector = {bytes, sizeof(bytes)};
        struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1};
        ssize_t length = recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (length <= 0)
            _exit(0);
        if (length == OPEN_BYTES &&
            send_descriptors(socket, bytes, OPENED_BYTES, &fd, 1, MSG_DONTWAIT) < 0)
            _exit(1);
        if (length == CLOSE_BYTES && step >= SETTLE) {
            fcntl(fd, F_OFD_SETLK, &unlock_all);
            fcntl(fd, F_SETFL, 0);
        }
    }
    _exit(1);
}

struct stepper {
    enum step step;
    int socket;
    pid_t server;
};

static void stepper_start(struct stepper *stepper, int fd) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        err(1, "socketpair");
    stepper->server = fork();
    if (stepper->server < 0)
        err(1, "fork");
    if (stepper->server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ends[0]);
        serve(ends[1], fd, stepper->step);
    }
    close(ends[1]);
    stepper->socket = ends[0];
}

static void stepper_stop(struct stepper *stepper) {
    kill(stepper->server, SIGKILL);
    waitpid(stepper->server, NULL, 0);
    close(stepper->socket);
}

/* ------------------------------------------------------------- the client */

static void tell(const struct stepper *stepper, size_t length) {
    char bytes[OPEN_BYTES] = {0};
    if (send(stepper->socket, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        err(1, "steps: send");
}

static int receive(const struct stepper *stepper) {
    static char bytes[PACKET_BYTES];
    union control control;
    struct iovec vector = {bytes, sizeof(bytes)};
    struct msghdr header = {.msg_iov = &vector,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof(control.bytes)};
    int fd;
    if (recvmsg(stepper->socket, &header, MSG_CMSG_CLOEXEC) <= 0 || !CMSG_FIRSTHDR(&header))
        errx(1, "steps: the server for '%s' has died", names[stepper->step]);
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&header)), sizeof(fd));
    return fd;
}

static void measure_step(struct contender *contender, double *samples, size_t count) {
    const struct stepper *stepper = contender->context;
    int descriptors[SAMPLES];
    for (size_t i = 0; i < count; i++) {
        double start = now_us();
        tell(stepper, OPEN_BYTES);
        descriptors[i] = receive(stepper);
        if (stepper->step >= CLOSE) {
            close(descriptors[i]);
            tell(stepper, CLOSE_BYTES);
        }
        samples[i] = now_us() - start;
    }
    if (stepper->step < CLOSE)
        close_all(descriptors, count);
}

void bench_steps(struct report *report) {
    enum { FLOOR = STEPS, OPEN, OPEN_CLOSE, ALL };
    struct stepper steppers[STEPS];
    struct floor floor;
    struct ours ours = {0};
    int descriptors[SAMPLES], disk = memfd_create("disk", MFD_CLOEXEC);
    struct contender all[ALL] = {
        [FLOOR] = {{"floor A"}, measure_floor, &floor, 1},
        [OPEN] = {{"fdset_open"}, measure_open, &ours},
        [OPEN_CLOSE] = {{"fdset_open + fdset_close"}, measure_open_close, &ours},
    };
    for (size_t i = 0; i < SAMPLES; i++)
        descriptors[i] = disk;
    for (size_t i = 0; i < STEPS; i++) {
        steppers[i].step = (enum step)i;
        all[i] = (struct contender){.measure = measure_step, .context = &steppers[i]};
        strcpy(all[i].series.name, names[i]);
    }
    for (int instance = 0; instance < INSTANCES; instance++) {
        floor_start(&floor, disk);
        for (size_t i = 0; i < STEPS; i++)
            stepper_start(&steppers[i], disk);
        ours_start(&ours, descriptors, SAMPLES, NULL);
        take_turns(all, ALL, rounds_of_group(ROUNDS), SAMPLES);
        ours_stop(&ours);
        for (size_t i = 0; i < STEPS; i++)
            stepper_stop(&steppers[i]);
        floor_stop(&floor);
    }
    report_group(report, "steps", "The kernel's part of an open, microseconds");
    report_series(report, &all[FLOOR].series, NULL);
    for (size_t i = 0; i < ALL; i++)
        if (i != FLOOR)
            report_series(report, &all[i].series, &all[FLOOR].series);
    report_bound(report, "open_over_floor", series_ratio(&all[FILTER].series, &all[FLOOR].series),
                 "the same system calls, with nothing in between");
    report_bound(report, "open_close_over_floor",
                 series_ratio(&all[SETTLE].series, &all[FLOOR].series),
                 "the same system calls, with nothing in between");
    for (size_t i = 0; i < ALL; i++)
        series_free(&all[i].series);
    close(disk);
    bench_calls(report);
}

/* SPDX-License-Identifier: MIT */
/* The event loop on epoll, and its clock. */
#include "connection/loop.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* What the kernel takes for a set of signals, bytes. */
#define KERNEL_SIGSET_BYTES 8

int loop_init(struct loop *loop, uint64_t *now_ms) {
    *loop = (struct loop){epoll_create1(EPOLL_CLOEXEC), now_ms};
    *now_ms = loop_now();
    return loop->epoll < 0 ? -errno : 0;
}

static int control(struct loop *loop, int operation, struct watch *watch, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = watch};
    return epoll_ctl(loop->epoll, operation, watch->fd, &event) < 0 ? -errno : 0;
}

int loop_add(struct loop *loop, struct watch *watch, uint32_t epoll_events) {
    return control(loop, EPOLL_CTL_ADD, watch, epoll_events);
}

void loop_change(struct loop *loop, struct watch *watch, uint32_t epoll_events) {
    int result = control(loop, EPOLL_CTL_MOD, watch, epoll_events);
    assert(result == 0);
    (void)result;
}

void loop_remove(struct loop *loop, struct watch *watch) {
    int result = control(loop, EPOLL_CTL_DEL, watch, 0);
    assert(result == 0);
    (void)result;
}

uint64_t loop_now(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int loop_turn(struct loop *loop, int timeout_ms) {
    static struct epoll_event events[LOOP_EVENTS]; /* too much to be cleared each time */
    /* The C library's is a cancellation point: packet.c. */
    long count = syscall(SYS_epoll_pwait, loop->epoll, events, LOOP_EVENTS, timeout_ms, NULL,
                         (size_t)KERNEL_SIGSET_BYTES);

    *loop->now_ms = loop_now();
    if (count < 0)
        return errno == EINTR ? 0 : -errno;
    for (long i = 0; i < count; i++) {
        struct watch *watch = events[i].data.ptr;
        watch->ready(watch, events[i].events);
    }
    return 0;
}

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

int loop_init(struct loop *loop, uint32_t watches, uint64_t *now_ms) {
    *loop =
        (struct loop){.epoll = epoll_create1(EPOLL_CLOEXEC), .now_ms = now_ms, .watches = watches};
    list_init(&loop->lanes);
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
    loop_forget(watch);
    int result = control(loop, EPOLL_CTL_DEL, watch, 0);
    assert(result == 0);
    (void)result;
}

uint64_t loop_now(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* One that has not been in turn comes before those that have. That whose turn it is comes
 * after: lanes_turn(). */
static void lane_enter(struct loop *loop, struct lane *lane) {
    if (!lane->in_use) {
        list_init(&lane->in_turn);
        list_init(&lane->ready);
        lane->in_use = true;
    }
    if (lane != loop->turn && list_empty(&lane->in_turn))
        list_insert(loop->lanes.next, &lane->in_turn);
}

void loop_again(struct loop *loop, struct watch *watch) {
    lane_enter(loop, watch->lane);
    if (!watch->is_queued)
        list_append(&watch->lane->ready, &watch->queued);
    watch->is_queued = true;
}

void loop_forget(struct watch *watch) {
    if (watch->is_queued)
        list_remove(&watch->queued);
    watch->is_queued = false;
    watch->events = 0;
}

static void lane_turn(struct loop *loop, struct lane *lane) {
    lane->credit = lane->credit < 0 ? lane->credit + TURN_WORK : TURN_WORK;
    loop->credit = lane->credit;
    while (loop_may(loop) && !list_empty(&lane->ready)) {
        struct watch *watch = list_object(lane->ready.next, struct watch, queued);
        uint32_t events = watch->events;
        loop_forget(watch);
        watch->ready(watch, events);
    }
    lane->credit = loop->credit;
}

/* Each that is there now, once. */
static void lanes_turn(struct loop *loop) {
    struct list turn;

    if (list_empty(&loop->lanes))
        return;
    /* They are moved whole to a list of their own, in which a lane that has had its turn is no
     * more. */
    turn = loop->lanes;
    turn.next->previous = turn.previous->next = &turn;
    list_init(&loop->lanes);
    while (!list_empty(&turn)) {
        struct lane *lane = list_object(turn.next, struct lane, in_turn);
        list_remove(&lane->in_turn);
        loop->turn = lane;
        lane_turn(loop, lane);
        loop->turn = NULL;
        if (!list_empty(&lane->ready))
            list_append(&loop->lanes, &lane->in_turn);
    }
}

static void tell(struct loop *loop, struct watch *watch, uint32_t events, bool alone) {
    if (!watch->lane || alone) {
        loop->credit = TURN_WORK;
        watch->ready(watch, events);
        return;
    }
    loop_again(loop, watch);
    watch->events |= events;
}

/* What has happened; returns how much, or -errno. */
static long gather(struct loop *loop, int timeout_ms, bool waiting) {
    static struct epoll_event events[LOOP_EVENTS]; /* too much to be cleared each time */
    /* The C library's is a cancellation point: packet.c. */
    long count = syscall(SYS_epoll_pwait, loop->epoll, events, LOOP_EVENTS, timeout_ms, NULL,
                         (size_t)KERNEL_SIGSET_BYTES);

    *loop->now_ms = loop_now();
    if (count < 0)
        return errno == EINTR ? 0 : -errno;
    for (long i = 0; i < count; i++)
        tell(loop, events[i].data.ptr, events[i].events, count == 1 && !waiting);
    return count;
}

int loop_turn(struct loop *loop, int timeout_ms) {
    bool waiting = !list_empty(&loop->lanes);
    long count = gather(loop, waiting ? 0 : timeout_ms, waiting);

    if (count == 1 && !waiting)
        return 0; /* as is usual: there was nobody whom it held up */
    loop->quiet = count == 0 && !waiting;
    /* So that no number of the one's keeps another from being seen. */
    for (uint32_t seen = LOOP_EVENTS; count == LOOP_EVENTS && seen < loop->watches;
         seen += LOOP_EVENTS)
        count = gather(loop, 0, true);
    if (count < 0)
        return (int)count;
    lanes_turn(loop);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/* One epoll instance and one alarm. */
#include "loop.h"

#include <assert.h>
#include <errno.h>
#include <sys/epoll.h>
#include <time.h>

int loop_open(struct relay_loop *loop) {
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    return loop->epoll < 0 ? -errno : 0;
}

void loop_watch(struct relay_loop *loop, struct relay_watch *watch, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = watch};

    if (watch->added && watch->events == events)
        return;
    int result =
        epoll_ctl(loop->epoll, watch->added ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, watch->fd, &event);
    assert(result == 0 || errno == ENOMEM || errno == ENOSPC);
    watch->added = watch->added || result == 0;
    watch->events = events;
}

void loop_unwatch(struct relay_loop *loop, struct relay_watch *watch) {
    if (watch->added)
        epoll_ctl(loop->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
    watch->added = false;
}

int64_t loop_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void loop_set_alarm(struct relay_loop *loop, unsigned milliseconds) {
    int64_t when = loop_now_ms() + milliseconds;

    if (!loop->alarm_ms || when < loop->alarm_ms)
        loop->alarm_ms = when;
}

/* How long the alarm may be waited for; -1: there is none. */
static int alarm_left(const struct relay_loop *loop) {
    int64_t left = loop->alarm_ms - loop_now_ms();

    return !loop->alarm_ms ? -1 : left > 0 ? (int)left : 0;
}

/* One at a time, since what is called may free any other watch. The kernel puts
 * those that stay ready at the end of its list: nobody starves. */
void loop_run(struct relay_loop *loop) {
    struct epoll_event event;

    while (!loop->ended) {
        int count = epoll_wait(loop->epoll, &event, 1, alarm_left(loop));
        assert(count >= 0 || errno == EINTR);
        if (count > 0) {
            struct relay_watch *watch = event.data.ptr;
            watch->ready(watch, event.events);
        }
        if (alarm_left(loop) == 0) {
            loop->alarm_ms = 0;
            loop->alarm(loop->owner);
        }
    }
}

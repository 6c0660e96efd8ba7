/* SPDX-License-Identifier: MIT */
/* One epoll instance and one alarm. */
#include "loop.h"

#include <assert.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

int loop_open(struct relay_loop *loop) {
    *loop = (struct relay_loop){
        .epoll = epoll_create1(EPOLL_CLOEXEC),
        .alarm = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
    };
    return loop->epoll < 0 || loop->alarm < 0 ? -errno : 0;
}

void loop_close(struct relay_loop *loop) {
    close(loop->epoll);
    close(loop->alarm);
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

static bool is_sooner(const struct timespec *time, const struct timespec *other) {
    return time->tv_sec < other->tv_sec ||
           (time->tv_sec == other->tv_sec && time->tv_nsec < other->tv_nsec);
}

void loop_set_alarm(struct relay_loop *loop, unsigned milliseconds) {
    struct itimerspec set = {0},
                      when = {
                          .it_value = {milliseconds / 1000, milliseconds % 1000 * 1000000 + 1},
                      };
    timerfd_gettime(loop->alarm, &set);
    if ((set.it_value.tv_sec || set.it_value.tv_nsec) && is_sooner(&set.it_value, &when.it_value))
        return;
    timerfd_settime(loop->alarm, 0, &when, NULL);
}

int64_t loop_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* One at a time, since what is called may free any other watch. The kernel puts
 * those that stay ready at the end of its list: nobody starves. */
void loop_run(struct relay_loop *loop) {
    struct epoll_event event;

    while (!loop->ended) {
        int count = epoll_wait(loop->epoll, &event, 1, -1);
        assert(count >= 0 || errno == EINTR);
        if (count > 0) {
            struct relay_watch *watch = event.data.ptr;
            watch->ready(watch, event.events);
        }
    }
}

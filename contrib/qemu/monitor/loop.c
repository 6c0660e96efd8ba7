/* SPDX-License-Identifier: MIT */
/* One epoll instance. */
#include "loop.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>

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

/* SPDX-License-Identifier: MIT */
/* What is given to those who poll: an epoll of the socket and a timer. The timer is
 * what tells of things that do not come over the socket: it has expired as long as
 * there is news, and expires when it is time to reconnect. */
#include "wire/poll.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "wire/failure.h"
#include "wire/own.h"

void poll_set_alarm(struct connection *connection) {
    const struct reconnecting *link = &connection->link;
    struct itimerspec when = {0};

    if (connection->alarm_fd < 0)
        return;
    if (connection->news)
        when.it_value.tv_nsec = 1; /* long ago */
    else if (connection->broken && link->kept && !link->telling)
        when.it_value = link->greeting ? link->greeting_end : link->next_attempt;
    timerfd_settime(connection->alarm_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void socket_control(struct connection *connection, int operation) {
    struct epoll_event event = {.events = connection->no_room ? EPOLLIN | EPOLLOUT : EPOLLIN};
    if (connection->poll_fd >= 0)
        epoll_ctl(connection->poll_fd, operation, connection->socket, &event);
}

void poll_changed(struct connection *connection) {
    bool unsent = connection->unsent.first, no_room = unsent && connection->full;
    bool news = connection->has_events || connection->done.first || (unsent && !no_room);

    if (connection->no_room != no_room) {
        connection->no_room = no_room;
        socket_control(connection, EPOLL_CTL_MOD);
    }
    if (connection->news != news) {
        connection->news = news;
        poll_set_alarm(connection);
    }
}

/* It must be taken out before another takes its number: a child of fork(2) may have
 * a copy, which would keep the old one in. */
void poll_socket(struct connection *connection, bool wanted) {
    socket_control(connection, wanted ? EPOLL_CTL_ADD : EPOLL_CTL_DEL);
}

bool poll_wants_socket(const struct connection *connection) {
    return !connection->broken || !connection->link.kept || connection->link.greeting;
}

/* Called with the lock held. */
static int poll_fd_make(struct connection *connection) {
    struct epoll_event event = {.events = EPOLLIN};
    int poll_fd = own_descriptor(epoll_create1(EPOLL_CLOEXEC));
    int alarm_fd = own_descriptor(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    if (poll_fd < 0 || alarm_fd < 0 || epoll_ctl(poll_fd, EPOLL_CTL_ADD, alarm_fd, &event) < 0) {
        int error = fail(errno, "cannot make a descriptor to poll: %m");
        if (poll_fd >= 0)
            close(poll_fd);
        if (alarm_fd >= 0)
            close(alarm_fd);
        return error;
    }
    connection->poll_fd = poll_fd;
    connection->alarm_fd = alarm_fd;
    poll_set_alarm(connection);
    if (poll_wants_socket(connection))
        poll_socket(connection, true);
    return 0;
}

int connection_poll_fd(struct connection *connection) {
    NO_CANCELLATION;
    int error = 0;
    if (connection_foreign(connection))
        return connection_say_foreign();
    LOCKED(connection->lock);
    if (connection->poll_fd < 0)
        error = poll_fd_make(connection);
    return error ? error : connection->poll_fd;
}

/* ----------------------------------------------------- when to connect anew */

bool time_is_before(const struct timespec *one, const struct timespec *other) {
    return one->tv_sec != other->tv_sec ? one->tv_sec < other->tv_sec
                                        : one->tv_nsec < other->tv_nsec;
}

bool time_is_over(const struct timespec *point) {
    return connection_remaining_ms(point) == 0;
}

static int at_most(unsigned milliseconds) {
    return milliseconds < 86400000 ? (int)milliseconds : 86400000;
}

void schedule_plan(struct reconnecting *link, const struct fdset_reconnect *plan) {
    link->kept = plan;
    if (plan)
        link->plan = *plan;
    if (link->plan.first_ms == 0)
        link->plan.first_ms = 100;
    if (link->plan.most_ms == 0)
        link->plan.most_ms = 5000;
    if (link->plan.most_ms < link->plan.first_ms)
        link->plan.most_ms = link->plan.first_ms;
    if (link->plan.give_up_ms == 0)
        link->plan.give_up_ms = 30000;
}

void schedule_begin(struct connection *connection) {
    struct reconnecting *link = &connection->link;

    if (link->kept)
        poll_socket(connection, false);
    link->told_down = link->in_period = link->given_up = false;
    connection_until(&link->next_attempt, 0);
    poll_set_alarm(connection);
}

void schedule_attempt(struct reconnecting *link) {
    if (link->in_period)
        return;
    link->in_period = true;
    link->given_up = false;
    link->pause_ms = link->plan.first_ms;
    connection_until(&link->period_end, at_most(link->plan.give_up_ms));
}

void schedule_next(struct reconnecting *link) {
    connection_until(&link->next_attempt, at_most(link->pause_ms));
    link->pause_ms =
        link->pause_ms > link->plan.most_ms / 2 ? link->plan.most_ms : link->pause_ms * 2;
    if (time_is_before(&link->next_attempt, &link->period_end))
        return;
    link->in_period = false;
    link->given_up = true;
    connection_until(&link->next_attempt, at_most(link->plan.most_ms));
}

/* SPDX-License-Identifier: MIT */
/* When to connect anew. */
#include "wire/schedule.h"

#include "wire/poll.h"

bool time_is_before(const struct timespec *one, const struct timespec *other) {
    return one->tv_sec != other->tv_sec ? one->tv_sec < other->tv_sec
                                        : one->tv_nsec < other->tv_nsec;
}

bool time_is_over(const struct timespec *point) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return !time_is_before(&now, point);
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

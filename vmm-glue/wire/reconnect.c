/* SPDX-License-Identifier: MIT */
/* Attaching to a restarted helper: <fdset/reconnect.h>. The attempts are made by
 * threads that need the helper, one at a time: it has the buffers meanwhile, so that
 * nobody reads from a socket that is being replaced. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <fdset/vmm.h>

#include "wire/connection.h"
#include "wire/failure.h"

/* How long each step of an attempt may wait for the helper. */
#define ATTEMPT_MS 1000

int connection_remember(struct connection *connection, const char *path, const char *name,
                        const char *owner) {
    struct link *link = &connection->link;
    link->path = strdup(path);
    link->name = name ? strdup(name) : NULL;
    link->owner = owner ? strdup(owner) : NULL;
    if (!link->path || (name && !link->name) || (owner && !link->owner))
        return fail(ENOMEM, "out of memory");
    return 0;
}

int connection_check_entry(const struct connection *connection) {
    if (!connection->link.trying || !pthread_equal(connection->link.who, pthread_self()))
        return 0;
    return fail(EDEADLK, "called by the function that is told of the connection's state");
}

/* Called with the lock held. */
static void plan_take(struct connection *connection, const struct fdset_reconnect *plan) {
    struct link *link = &connection->link;
    if (connection->broken)
        connection_poll_socket(connection, !plan);
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
    if (connection->broken)
        connection_schedule(connection);
    connection_wake(connection); /* those who wait by the old plan */
}

int connection_set_reconnect(struct connection *connection, const struct fdset_reconnect *plan) {
    NO_CANCELLATION;
    struct link *link = &connection->link;
    if (connection_foreign(connection))
        return connection_say_foreign();
    if (!link->path)
        return fail(EOPNOTSUPP, "the connection was not made by a path, so there is no way to "
                                "make it anew");
    pthread_mutex_lock(&connection->lock);
    int error = connection_check_entry(connection);
    while (!error && link->trying) /* by the old plan */
        connection_wait(connection, NULL);
    if (!error)
        plan_take(connection, plan);
    pthread_mutex_unlock(&connection->lock);
    return error;
}

/* ----------------------------------------------------------------- schedule */

static bool is_before(const struct timespec *one, const struct timespec *other) {
    return one->tv_sec != other->tv_sec ? one->tv_sec < other->tv_sec
                                        : one->tv_nsec < other->tv_nsec;
}

static bool is_over(const struct timespec *point) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return !is_before(&now, point);
}

static int at_most(unsigned milliseconds) {
    return milliseconds < 86400000 ? (int)milliseconds : 86400000;
}

void connection_schedule(struct connection *connection) {
    struct link *link = &connection->link;
    if (link->kept)
        connection_poll_socket(connection, false);
    link->told_down = link->in_period = link->given_up = false;
    connection_until(&link->next_attempt, 0);
    connection_set_alarm(connection);
}

static void period_begin(struct link *link) {
    if (link->in_period)
        return;
    link->in_period = true;
    link->given_up = false;
    link->pause_ms = link->plan.first_ms;
    connection_until(&link->period_end, at_most(link->plan.give_up_ms));
}

/* After an attempt that failed. */
static void period_go_on(struct link *link) {
    connection_until(&link->next_attempt, at_most(link->pause_ms));
    link->pause_ms =
        link->pause_ms > link->plan.most_ms / 2 ? link->plan.most_ms : link->pause_ms * 2;
    if (is_before(&link->next_attempt, &link->period_end))
        return;
    link->in_period = false;
    link->given_up = true;
    connection_until(&link->next_attempt, at_most(link->plan.most_ms));
}

/* ----------------------------------------------------------------- attempts */

static void set_patience(int sock, int milliseconds) {
    struct timeval patience = {milliseconds / 1000, milliseconds % 1000 * 1000};
    setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
}

/* Connects, shakes hands, and asks for what the old connection had. */
static int connect_anew(struct connection *connection, struct connection *fresh) {
    const struct link *link = &connection->link;
    int sock = connection_dial(link->path, ATTEMPT_MS);
    if (sock < 0)
        return sock;
    set_patience(sock, ATTEMPT_MS);
    int error = connection_open(fresh, sock, connection->asked, link->name, link->owner);
    if (error)
        return error;
    if (connection->renew)
        error = connection->renew(connection, fresh);
    if (error)
        connection_close(fresh);
    else
        set_patience(sock, 0);
    return error;
}

/* Called with the lock held: the fresh connection's socket gets the old one's number,
 * and what the old helper gave is the old helper's from here on. */
static int take_over(struct connection *connection, struct connection *fresh) {
    if (dup3(fresh->socket, connection->socket, O_CLOEXEC) < 0) {
        int error = fail(errno, "cannot replace the socket to fdset-helper: %m");
        connection_close(fresh);
        return error;
    }
    close(fresh->socket);
    connection_leave(fresh);
    connection->role = fresh->role;
    connection->features = fresh->features;
    connection->helper = fresh->helper;
    connection->generation++;
    connection->broken = 0;
    connection->farewell_error = 0;
    connection->farewell[0] = '\0';
    connection_poll_socket(connection, true);
    if (connection->renewed)
        connection->renewed(connection);
    return 0;
}

static void tell(struct connection *connection, enum fdset_link state, const char *text) {
    const struct fdset_reconnect *plan = &connection->link.plan;
    if (plan->state)
        plan->state(plan->context, state, text);
}

/* Without the lock, with the buffers. */
static int attempt_make(struct connection *connection, struct connection *fresh) {
    struct link *link = &connection->link;
    if (!link->told_down) {
        link->told_down = true;
        connection_say_broken(connection, connection->broken);
        tell(connection, FDSET_LINK_DOWN, fdset_error_text());
    }
    return fresh ? connect_anew(connection, fresh) : fail(ENOMEM, "out of memory");
}

/* Called with the lock held and the buffers free. */
static void attempt(struct connection *connection) {
    struct link *link = &connection->link;
    period_begin(link);
    link->trying = connection->buffers_taken = true;
    link->who = pthread_self();
    connection_set_alarm(connection);
    pthread_mutex_unlock(&connection->lock);
    struct connection *fresh = calloc(1, sizeof(*fresh));
    int error = attempt_make(connection, fresh);
    pthread_mutex_lock(&connection->lock);
    if (!error)
        error = take_over(connection, fresh);
    free(fresh);
    if (error)
        period_go_on(link);
    pthread_mutex_unlock(&connection->lock);
    if (!error)
        tell(connection, FDSET_LINK_UP, "connected to fdset-helper again");
    else if (link->given_up)
        tell(connection, FDSET_LINK_GIVEN_UP, fdset_error_text());
    pthread_mutex_lock(&connection->lock);
    link->trying = connection->buffers_taken = false;
    connection_set_alarm(connection);
    connection_wake(connection);
    connection_pass_on(connection);
}

int connection_reconnect(struct connection *connection, const struct timespec *until) {
    struct link *link = &connection->link;
    if (!link->kept || connection->broken == ECANCELED)
        return connection_say_broken(connection, connection->broken);
    if (connection->buffers_taken)
        return connection_wait(connection, until);
    if (is_over(&link->next_attempt)) {
        attempt(connection);
        return 1;
    }
    if (link->given_up)
        return connection_say_broken(connection, connection->broken);
    if (until && is_before(until, &link->next_attempt))
        return connection_wait(connection, until);
    connection_wait(connection, &link->next_attempt);
    return 1;
}

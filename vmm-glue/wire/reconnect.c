/* SPDX-License-Identifier: MIT */
/* Attaching to a restarted helper. The attempts are made by threads that need the helper,
 * step by step: each connects, sends, or reads one reply, and none of them waits for longer
 * than its caller wants to. */
#include "wire/handshake.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/failure.h"
#include "wire/packets.h"
#include "wire/poll.h"

/* How long an attempt waits for each answer of the helper. */
#define ANSWER_MS 1000

/* Called with the lock held, and gives it back meanwhile: the others wait. */
static void tell(struct connection *connection, enum fdset_link state, const char *text) {
    struct reconnecting *link = &connection->link;

    if (!link->plan.state)
        return;
    link->telling = true;
    link->who = pthread_self();
    poll_set_alarm(connection);
    pthread_mutex_unlock(&connection->lock);
    link->plan.state(link->plan.context, state, text);
    pthread_mutex_lock(&connection->lock);
    link->telling = false;
    poll_set_alarm(connection);
    waiters_wake(connection);
}

/* ------------------------------------------------------------------ the plan */

static void greeting_end(struct connection *connection) {
    if (!connection->link.greeting)
        return;
    poll_socket(connection, false);
    shutdown(connection->socket, SHUT_RDWR);
    connection->link.greeting = false;
    waiter_take(connection, connection->link.waiter.serial);
}

static void plan_take(struct connection *connection, const struct fdset_reconnect *plan) {
    greeting_end(connection);
    if (connection->broken)
        poll_socket(connection, !plan);
    schedule_plan(&connection->link, plan);
    if (connection->broken)
        schedule_begin(connection);
    waiters_wake(connection); /* those who wait by the old plan */
}

int connection_set_reconnect(struct connection *connection, const struct fdset_reconnect *plan) {
    NO_CANCELLATION;
    const struct reconnecting *link = &connection->link;
    struct fdset_reconnect ours;
    int error = plan ? SIZED_TAKE(&ours, plan) : 0;

    if (error)
        return error;
    if (connection_foreign(connection))
        return connection_say_foreign();
    if (!link->path)
        return fail(EOPNOTSUPP, "the connection was not made by a path, so there is no way to "
                                "make it anew");
    LOCKED(connection->lock);
    error = connection_check_entry(connection);
    while (!error && (link->telling || (link->greeting && connection->buffers_taken)))
        waiters_wait(connection, NULL); /* by the old plan */
    if (!error)
        plan_take(connection, plan ? &ours : NULL);
    return error;
}

/* ----------------------------------------------------------------- attempts */

static void renew_arrived(struct waiter *waiter, struct connection *connection) {
    int error = waiter->failed ? connection_say_broken(connection, waiter->failed)
                               : reply_check(connection, FDSET__V1__REPLY__BODY_DONE);

    if (!error && connection->renewed)
        connection->renewed(connection);
    connection->link.greeted = error ? error : 1;
}

static void hello_arrived(struct waiter *waiter, struct connection *connection) {
    struct reconnecting *link = &connection->link;
    int result = hello_read(connection, waiter);

    waiter->arrived = renew_arrived;
    if (!result && connection->renew)
        result = connection->renew(connection, waiter);
    if (result > 0) { /* one more answer is due */
        connection_until(&link->greeting_end, ANSWER_MS);
        poll_set_alarm(connection);
    } else {
        link->greeted = result ? result : 1;
    }
}

/* Puts a fresh socket in the old one's place. What the old helper gave is the old helper's
 * from here on. */
static int greeting_begin(struct connection *connection) {
    struct reconnecting *link = &connection->link;
    int fresh = connection_dial(link->path, false);

    if (fresh < 0)
        return fresh;
    int error = dup3(fresh, connection->socket, O_CLOEXEC) < 0
                    ? fail(errno, "cannot replace the socket to fdset-helper: %m")
                    : 0;
    close(fresh);
    if (error)
        return error;
    connection->generation++;
    connection->farewell_error = 0;
    connection->farewell[0] = '\0';
    link->greeting = true;
    link->greeted = 0;
    link->waiter = (struct waiter){.arrived = hello_arrived};
    connection_until(&link->greeting_end, ANSWER_MS);
    poll_socket(connection, true);
    poll_set_alarm(connection);
    return hello_send(connection, &link->waiter);
}

static void attempt_failed(struct connection *connection) {
    struct reconnecting *link = &connection->link;

    greeting_end(connection);
    schedule_next(link);
    poll_set_alarm(connection);
    if (link->given_up)
        tell(connection, FDSET_LINK_GIVEN_UP, fdset_error_text());
    waiters_wake(connection);
}

/* `broken` stays until everybody has been told, so that the others wait. */
static void attempt_worked(struct connection *connection) {
    connection->link.greeting = false;
    tell(connection, FDSET_LINK_UP, "connected to fdset-helper again");
    connection->broken = 0;
    poll_set_alarm(connection);
    waiters_wake(connection);
    waiters_pass_on(connection);
}

static void attempt_begin(struct connection *connection) {
    struct reconnecting *link = &connection->link;

    schedule_attempt(link);
    if (!link->told_down) {
        link->told_down = true;
        connection_say_broken(connection, connection->broken);
        tell(connection, FDSET_LINK_DOWN, fdset_error_text());
    }
    if (greeting_begin(connection) < 0)
        attempt_failed(connection);
}

/* Called with the buffers free. */
static int attempt_go_on(struct connection *connection, const struct timespec *until) {
    struct reconnecting *link = &connection->link;
    bool patient = !until || time_is_before(&link->greeting_end, until);
    int result = 1;

    if (time_is_over(&link->greeting_end) && !receive_until(connection, &link->greeting_end))
        link->greeted = fail(ETIMEDOUT, "fdset-helper does not answer");
    else if (!link->greeted)
        result = receive_until(connection, patient ? &link->greeting_end : until);
    if (link->greeted < 0)
        attempt_failed(connection);
    else if (link->greeted > 0)
        attempt_worked(connection);
    return patient ? 1 : result;
}

int reconnect(struct connection *connection, const struct timespec *until) {
    const struct reconnecting *link = &connection->link;

    if (!link->kept || connection->broken == ECANCELED)
        return connection_say_broken(connection, connection->broken);
    if (connection->buffers_taken || link->telling)
        return waiters_wait(connection, until);
    if (link->greeting)
        return attempt_go_on(connection, until);
    if (time_is_over(&link->next_attempt)) {
        attempt_begin(connection);
        return 1;
    }
    if (link->given_up)
        return connection_say_broken(connection, connection->broken);
    if (until && time_is_before(until, &link->next_attempt))
        return waiters_wait(connection, until);
    waiters_wait(connection, &link->next_attempt);
    return 1;
}

/* SPDX-License-Identifier: MIT */
/* Requests that no thread waits for, and giving out their outcomes. */
#include "wire/requests.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire/failure.h"
#include "wire/poll.h"
#include "wire/pump.h"
#include "wire/receive.h"
#include "wire/send.h"
#include "wire/waiters.h"

void request_fail(struct submitted *request, int error, const char *text) {
    request->error = error;
    request->text = strdup(text);
}

int request_say_failure(const struct submitted *request) {
    return fail(-request->error, "%s", request->text ? request->text : "out of memory");
}

void request_done(struct connection *connection, struct submitted *request) {
    request_put(&connection->done, request);
    poll_changed(connection);
}

/* Called with the lock held. */
static int submit(struct connection *connection, struct submitted *request) {
    int error = connection_check_entry(connection);

    if (error)
        return error;
    if (connection->broken)
        return connection_say_broken(connection, connection->broken);
    error = connection->unsent.first ? -EAGAIN : request->send(request, connection);
    if (error && error != -EAGAIN)
        return send_error(error);
    if (error)
        unsent_put(connection, request);
    return 0;
}

int request_submit(struct connection *connection, struct submitted *request) {
    if (connection_inherited(connection))
        return connection_say_foreign();
    pthread_mutex_lock(&connection->lock);
    int error = submit(connection, request);
    pthread_mutex_unlock(&connection->lock);
    return error;
}

/* -------------------------------------------------------------- dispatching */

/* Called with the lock held. */
static struct submitted *take_done(struct connection *connection) {
    struct submitted *done = request_take_all(&connection->done);

    poll_changed(connection);
    return done;
}

static int give_out_all(struct submitted *done) {
    int count = 0;

    while (done) {
        struct submitted *next = done->next;

        done->give_out(done);
        done = next;
        count++;
    }
    return count;
}

/* Called with the lock held. Returns as pump(). */
static int wait_for_outcomes(struct connection *connection, const struct timespec *until) {
    unsigned turns = 0;
    int result = 1;

    connection->dispatching++;
    while (result > 0) {
        bool full = connection->unsent.first && unsent_send(connection) < 0;

        if (connection->done.first)
            break;
        result = full ? pump_for_room(connection, until) : pump(connection, until, &turns);
    }
    connection->dispatching--;
    return result;
}

/* Called without the lock: what the callbacks have submitted. */
static void send_what_was_added(struct connection *connection) {
    pthread_mutex_lock(&connection->lock);
    if (connection->unsent.first)
        unsent_send(connection);
    pthread_mutex_unlock(&connection->lock);
}

int requests_dispatch(struct connection *connection, int timeout_ms) {
    /* Also while outcomes are given out: those not yet given would be lost. */
    NO_CANCELLATION;
    struct timespec point;
    const struct timespec *until = connection_until(&point, timeout_ms);
    struct submitted *done;
    int result;

    if (connection_inherited(connection))
        return connection_say_foreign();
    pthread_mutex_lock(&connection->lock);
    do {
        result = wait_for_outcomes(connection, until);
        receive_waiting(connection);
        done = take_done(connection); /* unless another thread has, meanwhile */
    } while (!done && result > 0);
    waiters_pass_on(connection);
    pthread_mutex_unlock(&connection->lock);
    if (!done)
        return result;
    int count = give_out_all(done);
    send_what_was_added(connection);
    return count;
}

/* In a child the callbacks' world is the parent's, and so may be the lock: there
 * nothing is given out. */
void requests_cancel(struct connection *connection) {
    NO_CANCELLATION;

    if (connection_foreign(connection))
        return;
    pthread_mutex_lock(&connection->lock);
    receive_cancel(connection);
    struct submitted *done = take_done(connection);
    pthread_mutex_unlock(&connection->lock);
    give_out_all(done);
}

/* SPDX-License-Identifier: MIT */
/* A thread waits for something to come, for the reply to its request, or for the outcomes of
 * requests that were submitted. */
#include "wire/requests.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "feature.h"
#include "wire/failure.h"
#include "wire/handshake.h"
#include "wire/packets.h"
#include "wire/poll.h"

/* So many turns at once, though the time is over: what is there already comes with them. */
#define TURNS_AT_ONCE 64

static bool is_enough(const struct timespec *until, unsigned *turns) {
    return ++*turns % TURNS_AT_ONCE == 0 && until && time_is_over(until);
}

int pump(struct connection *connection, const struct timespec *until, unsigned *turns) {
    if (is_enough(until, turns))
        return 0;
    if (connection->broken)
        return reconnect(connection, until);
    return connection->buffers_taken ? waiters_wait(connection, until)
                                     : receive_until(connection, until);
}

/* Nobody tells of room in the socket: look again after so long. */
#define ROOM_MS 10

/* The same as pump() while the socket is full: or until there is room. Takes in what comes
 * meanwhile, which may be another request's failure; fdset_error_text() stays as it is. */
static int pump_for_room(struct connection *connection, const struct timespec *until,
                         unsigned *turns) {
    NO_CANCELLATION;
    struct pollfd pollfd = {connection->socket, POLLIN | POLLOUT, 0};
    struct timespec soon;
    char kept[FAILURE_BYTES];

    if (is_enough(until, turns))
        return 0;
    pthread_mutex_unlock(&connection->lock);
    int ready = poll(&pollfd, 1, connection_remaining_ms(until));
    pthread_mutex_lock(&connection->lock);
    if (ready == 0 || connection->broken || pollfd.revents & ~POLLIN)
        return ready != 0;
    failure_keep(kept);
    if (connection->buffers_taken)
        waiters_wait(connection, until && connection_remaining_ms(until) < ROOM_MS
                                     ? until
                                     : connection_until(&soon, ROOM_MS));
    else
        receive_until(connection, connection_until(&soon, 0));
    waiters_pass_on(connection);
    failure_restore(kept);
    return 1;
}

/* -------------------------------------------------------------------- calls */

int request_send_patiently(struct connection *connection, Fdset__V1__Request *request,
                           const int *descriptors, size_t count, struct waiter *waiter) {
    uint64_t generation = connection->generation;
    unsigned turns = 0;
    int error;

    while ((error = request_send(connection, request, descriptors, count, waiter)) == -EAGAIN) {
        pump_for_room(connection, NULL, &turns);
        if (connection->generation == generation)
            continue;
        if (waiter)
            waiter->failed = ECONNRESET;
        return 0;
    }
    return error;
}

/* Called with the lock held. */
static int mend(struct connection *connection) {
    NO_CANCELLATION;
    int error = 0;

    while (error >= 0 && connection->broken)
        error = reconnect(connection, NULL);
    return error < 0 ? error : 0;
}

int request_exchange(struct connection *connection, Fdset__V1__Request *request,
                     const int *descriptors, size_t count, bool *unsent) {
    struct waiter waiter = {0};
    int error = request_send(connection, request, descriptors, count, &waiter);

    if (error == -EAGAIN)
        error = request_send_patiently(connection, request, descriptors, count, &waiter);
    if (error)
        return send_error(error);
    *unsent = waiter.unsent;
    return receive_reply(connection, &waiter);
}

/* Called with the lock held. Nobody may have read yet that it has. */
static bool has_hung_up(const struct connection *connection) {
    NO_CANCELLATION;
    struct pollfd pollfd = {connection->socket, 0, 0};

    return poll(&pollfd, 1, 0) > 0;
}

/* A helper hangs up on what it does not know. Of one that has gone, sending tells. */
static int check_known(const struct connection *connection, const Fdset__V1__Request *request) {
    if (request->body_case != FDSET__V1__REQUEST__BODY_LOOK ||
        connection->features & FEATURE_BIT(LOOK) || has_hung_up(connection))
        return 0;
    return fail(EOPNOTSUPP, "this fdset-helper cannot be asked about a set: it needs a newer "
                            "version");
}

/* Called with the lock held. */
static int call(struct connection *connection, Fdset__V1__Request *request, const int *descriptors,
                size_t count, bool *unsent) {
    int error = connection_check_entry(connection);

    *unsent = false;
    if (!error && connection->broken)
        error = mend(connection);
    if (!error)
        error = check_known(connection, request);
    return error ? error : request_exchange(connection, request, descriptors, count, unsent);
}

int connection_call(struct connection *connection, Fdset__V1__Request *request,
                    const int *descriptors, size_t count, Fdset__V1__Reply__BodyCase expected) {
    bool unsent;

    if (connection_inherited(connection))
        return connection_say_foreign();
    pthread_mutex_lock(&connection->lock);
    int error = call(connection, request, descriptors, count, &unsent);
    /* The first to find that the helper was restarted need not suffer for it. */
    if (error && unsent && connection->link.kept)
        error = call(connection, request, descriptors, count, &unsent);
    pthread_mutex_unlock(&connection->lock);
    if (error)
        return error;
    error = reply_check(connection, expected);
    if (error)
        reply_release(connection);
    return error;
}

/* --------------------------------------------------------------- submitting */

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

int request_submit(struct connection *connection, struct submitted *request) {
    if (connection_inherited(connection))
        return connection_say_foreign();
    LOCKED(connection->lock);
    if (connection->broken)
        return connection_refuse(connection);
    int error = connection->unsent.first ? -EAGAIN : request->send(request, connection);
    if (error && error != -EAGAIN)
        return send_error(error);
    if (error)
        unsent_put(connection, request);
    return 0;
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
        result = full ? pump_for_room(connection, until, &turns) : pump(connection, until, &turns);
    }
    connection->dispatching--;
    return result;
}

/* `done` gets the outcomes that are there at the end of it. Returns as pump(). */
static int collect_outcomes(struct connection *connection, const struct timespec *until,
                            struct submitted **done) {
    LOCKED(connection->lock);
    int result = connection_check_entry(connection);

    *done = NULL;
    if (result)
        return result;
    do {
        result = wait_for_outcomes(connection, until);
        receive_waiting(connection);
        *done = take_done(connection); /* unless another thread has, meanwhile */
    } while (!*done && result > 0);
    waiters_pass_on(connection);
    return result;
}

int requests_dispatch(struct connection *connection, int timeout_ms) {
    /* Also while outcomes are given out: those not yet given would be lost. */
    NO_CANCELLATION;
    struct timespec point;
    const struct timespec *until = connection_until(&point, timeout_ms);
    struct submitted *done;

    if (connection_inherited(connection))
        return connection_say_foreign();
    int result = collect_outcomes(connection, until, &done);
    if (!done)
        return result;
    int count = give_out_all(done);
    LOCKED(connection->lock);
    if (connection->unsent.first) /* what the callbacks have submitted */
        unsent_send(connection);
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

/* SPDX-License-Identifier: MIT */
/* Requests on their way out, and the calls that wait for a reply. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "shortcut/shortcut.h"
#include "wire/connection.h"
#include "wire/failure.h"

/* Open, Close and a short OpenMany fit into this, on the stack. */
#define SMALL_PACKET_BYTES 512

/* Takes in what comes meanwhile, which may be another open's failure; it is not that of
 * who gives back a lease because it cannot be used. */
static void wait_for_room(struct connection *connection) {
    char kept[FAILURE_BYTES];
    failure_keep(kept);
    connection_wait_room(connection, NULL);
    failure_restore(kept);
}

/* Called with the lock held, which is what keeps a packet for one helper from
 * going to the next. Returns 0 or -errno; nothing said. */
static int packet_post(struct connection *connection, const uint8_t *bytes, size_t length,
                       const int *descriptors, size_t count, bool patient) {
    uint32_t generation = connection->generation;
    for (;;) {
        if (connection->broken || connection->generation != generation)
            return -EPIPE;
        int error = connection->unsent ? connection->send_unsent(connection) : 0;
        if (!error)
            error = count == 0 ? packet_send_bytes(connection->socket, bytes, length, MSG_DONTWAIT)
                               : packet_send(connection->socket, bytes, length, descriptors, count,
                                             MSG_DONTWAIT);
        if (error != -EAGAIN || !patient)
            return error;
        wait_for_room(connection);
    }
}

static int request_send(struct connection *connection, const Fdset__V1__Request *request,
                        const int *descriptors, size_t count, bool patient) {
    uint8_t small[SMALL_PACKET_BYTES];
    size_t length;
    const uint8_t *at = request_encode_short(request, small, sizeof(small), &length);
    if (at)
        return packet_post(connection, at, length, descriptors, count, patient);

    uint8_t *bytes = malloc(FDSET_MAX_PACKET_BYTES);
    if (!bytes)
        return -ENOMEM;
    at = request_encode(request, bytes, &length);
    int error = at ? packet_post(connection, at, length, descriptors, count, patient) : -E2BIG;
    free(bytes);
    return error;
}

void connection_tell_closed(struct connection *connection, uint32_t generation, uint32_t *leases,
                            size_t count) {
    Fdset__V1__Close closed = FDSET__V1__CLOSE__INIT;
    Fdset__V1__Request request = REQUEST(close = &closed, CLOSE);
    closed.leases = leases;
    closed.n_leases = count;
    pthread_mutex_lock(&connection->lock);
    if (connection->generation == generation)
        request_send(connection, &request, NULL, 0, true);
    pthread_mutex_unlock(&connection->lock);
}

/* -------------------------------------------------------------------- calls */

static int send_error(int error) {
    switch (error) {
    case -EAGAIN:
        return fail(EAGAIN, "too many opens are under way: dispatch their outcomes first");
    case -E2BIG:
        return fail(E2BIG, "the request is larger than the %d bytes that a packet has",
                    FDSET_MAX_PACKET_BYTES);
    case -ETOOMANYREFS:
        return fail(ETOOMANYREFS, "this user has too many descriptors on their way through "
                                  "sockets (RLIMIT_NOFILE)");
    default:
        return fail(-error, "sending to fdset-helper failed: %m");
    }
}

/* Where the helper hung up, reading tells what it said before that. */
static bool send_failed(int error) {
    return error && error != -EPIPE && error != -ECONNRESET;
}

static int reply_check(const Fdset__V1__Reply *reply, Fdset__V1__Reply__BodyCase expected) {
    if (reply->body_case == expected)
        return 0;
    if (reply->body_case == FDSET__V1__REPLY__BODY_ERROR)
        return fail(reply->error->error_number, "%s", reply->error->text);
    return fail(EPROTO, "fdset-helper answered something else than was asked");
}

/* Called with the lock held. The reply will find the waiter: nobody can read it
 * before the lock is given back. Returns 0 or -errno; nothing said. */
static int request_post(struct connection *connection, Fdset__V1__Request *request,
                        const int *descriptors, size_t count, struct waiter *waiter, bool patient) {
    if (++connection->last_serial == 0) /* 0 means no serial */
        connection->last_serial = 1;
    waiter->serial = request->serial = connection->last_serial;
    waiter->wake = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    request->descriptors = (uint32_t)count;
    uint32_t generation = connection->generation;
    int error = request_send(connection, request, descriptors, count, patient);
    if (error == -EAGAIN || send_failed(error))
        return error;
    waiter->unsent = error;
    if (connection->broken || connection->generation != generation)
        waiter->failed = ECONNRESET; /* while there was no room */
    else
        connection_expect(connection, waiter);
    return 0;
}

int connection_post(struct connection *connection, Fdset__V1__Request *request,
                    struct waiter *waiter) {
    return waiter ? request_post(connection, request, NULL, 0, waiter, false)
                  : request_send(connection, request, NULL, 0, false);
}

/* Called with the lock held. */
static bool something_is_submitted(const struct connection *connection) {
    const struct waiter *waiter = connection->waiters;
    while (waiter && !waiter->arrived)
        waiter = waiter->next;
    return waiter;
}

int connection_submit(struct connection *connection, Fdset__V1__Request *request,
                      struct waiter *waiter) {
    /* Where other threads' calls alone have filled the socket there is no outcome
     * that would tell when to try again; but it will not take long. */
    bool patient = !connection->unsent && !something_is_submitted(connection);
    waiter->failed = connection->broken;
    int error = waiter->failed ? 0 : request_post(connection, request, NULL, 0, waiter, patient);
    if (error)
        return send_error(error);
    return waiter->failed ? connection_say_broken(connection, waiter->failed) : 0;
}

/* Called with the lock held. */
static int mend(struct connection *connection) {
    NO_CANCELLATION;
    int error = 0;
    while (error >= 0 && connection->broken)
        error = connection_reconnect(connection, NULL);
    return error < 0 ? error : 0;
}

/* Called with the lock held. `unsent` is set if the helper cannot have seen it. */
static int call(struct connection *connection, Fdset__V1__Request *request, const int *descriptors,
                size_t count, bool *unsent) {
    struct waiter waiter = {0};
    int error = connection_check_entry(connection);
    *unsent = false;
    if (!error && connection->broken)
        error = mend(connection);
    if (error)
        return error;
    error = request_post(connection, request, descriptors, count, &waiter, true);
    if (error)
        return send_error(error);
    *unsent = waiter.unsent;
    return connection_await(connection, &waiter);
}

int connection_call(struct connection *connection, Fdset__V1__Request *request,
                    const int *descriptors, size_t count, Fdset__V1__Reply__BodyCase expected) {
    if (connection_inherited(connection))
        return connection_say_foreign();
    pthread_mutex_lock(&connection->lock);
    bool unsent;
    int error = call(connection, request, descriptors, count, &unsent);
    /* The first to find that the helper was restarted need not suffer for it. */
    if (error && unsent && connection->link.kept)
        error = call(connection, request, descriptors, count, &unsent);
    pthread_mutex_unlock(&connection->lock);
    if (error)
        return error;
    error = reply_check(connection->reply, expected);
    if (error)
        connection_release(connection);
    return error;
}

int connection_check_descriptors(struct connection *connection, size_t expected) {
    size_t count = connection->descriptors.count;
    if (connection->truncated || count < connection->reply->descriptors)
        return fail(EMFILE,
                    "the kernel did not hand over what fdset-helper sent: this process is at "
                    "its limit of descriptors (RLIMIT_NOFILE), or a security module refused");
    if (count != expected || count != connection->reply->descriptors)
        return fail(EPROTO, "fdset-helper sent %zu descriptors where %zu were due", count,
                    expected);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/* A packet goes. */
#include "wire/send.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "shortcut/shortcut.h"
#include "wire/failure.h"
#include "wire/poll.h"
#include "wire/waiters.h"

/* Open, Close and a short OpenMany fit into this, on the stack. */
#define SMALL_PACKET_BYTES 512

int send_error(int error) {
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

void unsent_put(struct connection *connection, struct submitted *request) {
    request_put(&connection->unsent, request);
    poll_changed(connection);
}

int unsent_send(struct connection *connection) {
    int error = 0;

    connection->sending = true; /* nothing goes before what is sent here */
    while (connection->unsent.first) {
        struct submitted *request = connection->unsent.first;

        error = request->send(request, connection);
        if (error == -EAGAIN)
            break;
        connection->unsent.first = request->next;
        if (error) {
            request->waiter.failed = -error;
            request->waiter.arrived(&request->waiter, connection);
        }
    }
    connection->sending = false;
    connection->full = error == -EAGAIN;
    poll_changed(connection);
    return connection->full ? -EAGAIN : 0;
}

static int packet_post(struct connection *connection, const uint8_t *bytes, size_t length,
                       const int *descriptors, size_t count) {
    int error = connection->unsent.first && !connection->sending ? unsent_send(connection) : 0;
    if (error)
        return error;
    return count == 0
               ? packet_send_bytes(connection->socket, bytes, length, MSG_DONTWAIT)
               : packet_send(connection->socket, bytes, length, descriptors, count, MSG_DONTWAIT);
}

static int request_post(struct connection *connection, const Fdset__V1__Request *request,
                        const int *descriptors, size_t count) {
    uint8_t small[SMALL_PACKET_BYTES];
    size_t length;
    const uint8_t *at = request_encode_short(request, small, sizeof(small), &length);

    if (at)
        return packet_post(connection, at, length, descriptors, count);
    uint8_t *bytes = malloc(FDSET_MAX_PACKET_BYTES);
    if (!bytes)
        return -ENOMEM;
    at = request_encode(request, bytes, &length);
    int error = at ? packet_post(connection, at, length, descriptors, count) : -E2BIG;
    free(bytes);
    return error;
}

int request_send(struct connection *connection, Fdset__V1__Request *request, const int *descriptors,
                 size_t count, struct waiter *waiter) {
    bool over = connection->broken && !connection->link.greeting;

    if (!waiter)
        return over ? -EPIPE : request_post(connection, request, descriptors, count);
    waiter->unsent = over;
    waiter->failed = over ? connection->broken : 0;
    if (over)
        return 0;
    if (++connection->last_serial == 0) /* 0 means no serial */
        connection->last_serial = 1;
    waiter->serial = request->serial = connection->last_serial;
    waiter->wake = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    request->descriptors = (uint32_t)count;
    int error = request_post(connection, request, descriptors, count);
    /* Where the helper hung up, reading tells what it said before that. */
    waiter->unsent = error == -EPIPE || error == -ECONNRESET;
    if (error && !waiter->unsent)
        return error;
    waiter_put(connection, waiter);
    return 0;
}

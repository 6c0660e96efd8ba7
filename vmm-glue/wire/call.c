/* SPDX-License-Identifier: MIT */
/* Requests that a thread waits for. */
#include "wire/call.h"

#include <errno.h>

#include "wire/failure.h"
#include "wire/pump.h"
#include "wire/receive.h"
#include "wire/reconnect.h"
#include "wire/send.h"

int request_send_patiently(struct connection *connection, Fdset__V1__Request *request,
                           const int *descriptors, size_t count, struct waiter *waiter) {
    uint32_t generation = connection->generation;
    int error;

    while ((error = request_send(connection, request, descriptors, count, waiter)) == -EAGAIN) {
        pump_for_room(connection, NULL);
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

/* Called with the lock held. */
static int call(struct connection *connection, Fdset__V1__Request *request, const int *descriptors,
                size_t count, bool *unsent) {
    int error = connection_check_entry(connection);

    *unsent = false;
    if (!error && connection->broken)
        error = mend(connection);
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

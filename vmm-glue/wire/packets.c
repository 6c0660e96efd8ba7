/* SPDX-License-Identifier: MIT */
/* Packets go, and come, and go to whom they are for. */
#include "wire/packets.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "shortcut/shortcut.h"
#include "uninitialized.h"
#include "wire/failure.h"
#include "wire/poll.h"

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
    UNINITIALIZED uint8_t small[SMALL_PACKET_BYTES]; /* by request_encode_short() */
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

static bool serial_is_waited_for(const struct connection *connection, uint32_t serial) {
    for (const struct waiter *waiter = connection->waiters; waiter; waiter = waiter->next)
        if (waiter->serial == serial)
            return true;
    return false;
}

/* Those begin again at 1, past any whose reply has not come yet: an open may have waited since
 * they began. 0 means no serial. */
static uint32_t serial_next(struct connection *connection) {
    do {
        if (++connection->last_serial == 0) {
            connection->last_serial = 1;
            connection->serials_again = true;
        }
    } while (connection->serials_again &&
             serial_is_waited_for(connection, connection->last_serial));
    return connection->last_serial;
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
    waiter->serial = request->serial = serial_next(connection);
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

/* ---------------------------------------------------------------- receiving */

/* Reads one packet into the buffers. Returns 0 or -errno; nothing said. */
static int packet_read(struct connection *connection, int recvmsg_flags) {
    struct packet_info info;
    int error;
    connection->reply = NULL;
    int from;
    do {
        /* The kernel reports a reset once, and first; what the helper had sent
         * before it hung up, such as why, comes after. */
        from = connection->socket;
        error =
            packet_receive(from, connection->bytes, &connection->descriptors, recvmsg_flags, &info);
    } while (error == -ECONNRESET || (error && from != connection->socket));
    if (error)
        return error;
    if (info.hangup)
        return -ECONNRESET;
    connection->truncated = info.truncated;
    connection->reply = reply_decode(connection->bytes, info.length, &connection->arena);
    if (connection->reply)
        return 0;
    packet_descriptors_close(&connection->descriptors);
    return -EPROTO;
}

/* Requests that no helper will see any more. */
static void drop_unsent(struct connection *connection, int error) {
    struct submitted *request = request_take_all(&connection->unsent), *next;

    for (; request; request = next) {
        next = request->next;
        request->waiter.failed = error;
        request->waiter.arrived(&request->waiter, connection);
    }
    connection->full = false;
    poll_changed(connection);
}

/* No reply of this connection's will come any more, and those who waited must not wait for
 * one of the next. */
static void break_off(struct connection *connection, int error) {
    bool anew = !connection->link.greeting; /* else it had been broken already */

    /* Nobody reads from now on, so the helper must not wait for that. */
    shutdown(connection->socket, SHUT_RDWR);
    if (anew)
        connection->broken = error;
    connection->reply = NULL;
    connection->buffers_taken = false;
    waiters_fail(connection, error);
    drop_unsent(connection, error);
    if (anew)
        schedule_begin(connection);
    waiters_wake(connection);
}

void receive_cancel(struct connection *connection) {
    connection->link.greeting = false;
    break_off(connection, ECANCELED);
}

/* A reply to nobody. With serial 0 it says why the helper is about to hang up. */
static void farewell_keep(struct connection *connection, const Fdset__V1__Reply *reply) {
    if (reply->serial != 0 || reply->body_case != FDSET__V1__REPLY__BODY_ERROR)
        return;
    connection->farewell_error = reply->error->error_number;
    snprintf(connection->farewell, sizeof(connection->farewell), "%s", reply->error->text);
}

/* Called with the lock held and the buffers free: reads one packet, without the
 * lock, and passes the buffers on to the thread that it is for. Returns false only
 * with MSG_DONTWAIT and where there was none. */
static bool read_for_all(struct connection *connection, int recvmsg_flags) {
    connection->buffers_taken = true;
    pthread_mutex_unlock(&connection->lock);
    int error = packet_read(connection, recvmsg_flags);
    pthread_mutex_lock(&connection->lock);
    /* Without the flag it is the end of the patience with a new helper. */
    if (error == -EAGAIN && recvmsg_flags & MSG_DONTWAIT) {
        connection->buffers_taken = false;
        return false;
    }
    if (error) {
        break_off(connection, -error);
        return true;
    }
    const Fdset__V1__Reply *reply = connection->reply;
    bool events = reply->body_case == FDSET__V1__REPLY__BODY_EVENTS;
    struct waiter *addressee = events ? NULL : waiter_take(connection, reply->serial);
    if (addressee && !addressee->arrived) {
        addressee->answered = true;
        if (addressee->asleep) /* it is not this thread */
            pthread_cond_signal(&addressee->wake);
        return true;
    }
    if (addressee)
        addressee->arrived(addressee, connection);
    else if (!events)
        farewell_keep(connection, reply);
    else if (connection->events_arrived)
        connection->events_arrived(connection, reply->events);
    /* What came is for no thread that waits: it has been dealt with. */
    packet_descriptors_close(&connection->descriptors);
    connection->buffers_taken = false;
    waiters_wake(connection);
    return true;
}

int receive_until(struct connection *connection, const struct timespec *until) {
    struct pollfd pollfd = {connection->socket, POLLIN, 0};
    /* More than one reply is due, so that one of them may have come. */
    bool several = connection->waiters && connection->waiters->next;

    if (several && read_for_all(connection, MSG_DONTWAIT))
        return 1;
    connection->buffers_taken = true;
    pthread_mutex_unlock(&connection->lock);
    int ready = poll(&pollfd, 1, connection_remaining_ms(until));
    pthread_mutex_lock(&connection->lock);
    connection->buffers_taken = false;
    if (ready > 0)
        read_for_all(connection, 0);
    return ready != 0; /* after a signal too: its handler may have changed something */
}

/* So many at once, lest those who wait for outcomes wait for ever. */
#define DRAINED_AT_ONCE 64

void receive_waiting(struct connection *connection) {
    for (int i = 0; i < DRAINED_AT_ONCE; i++)
        if (connection->broken || connection->buffers_taken || !connection->waiters ||
            !read_for_all(connection, MSG_DONTWAIT))
            return;
}

int receive_reply(struct connection *connection, struct waiter *waiter) {
    while (!waiter->answered && !waiter->failed) {
        if (connection->buffers_taken)
            waiter_sleep(connection, waiter);
        else
            read_for_all(connection, 0);
    }
    return waiter->answered ? 0 : connection_say_broken(connection, waiter->failed);
}

/* ------------------------------------------------------------------ replies */

int reply_check(const struct connection *connection, Fdset__V1__Reply__BodyCase expected) {
    const Fdset__V1__Reply *reply = connection->reply;

    if (reply->body_case == expected)
        return 0;
    if (reply->body_case == FDSET__V1__REPLY__BODY_ERROR)
        return fail(reply->error->error_number, "%s", reply->error->text);
    return fail(EPROTO, "fdset-helper answered something else than was asked");
}

int reply_check_descriptors(const struct connection *connection, size_t expected) {
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

void reply_release(struct connection *connection) {
    packet_descriptors_close(&connection->descriptors);
    LOCKED(connection->lock);
    connection->buffers_taken = false;
    waiters_pass_on(connection);
}

/* SPDX-License-Identifier: MIT */
#include "wire/connection.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shortcut/shortcut.h"
#include "wire/failure.h"
#include "wire/own.h"

int cancellation_off(void) {
    int before;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    return before;
}

void cancellation_restore(const int *before) {
    pthread_setcancelstate(*before, NULL);
}

bool connection_foreign(const struct connection *connection) {
    return connection->owner != getpid();
}

bool connection_inherited(const struct connection *connection) {
    return connection->at_home ? !*connection->at_home : connection_foreign(connection);
}

int connection_say_foreign(void) {
    return fail(ESTALE, "the connection to fdset-helper belongs to the process that made "
                        "it, not to this child of it");
}

int connection_move(struct connection *connection) {
    int error = 0;
    pthread_mutex_lock(&connection->lock);
    int number = own_duplicate(connection->socket, 0);
    if (number < 0) {
        error = -errno;
    } else {
        connection_poll_socket(connection, false);
        connection->socket = number;
        if (!connection->broken || !connection->link.kept)
            connection_poll_socket(connection, true);
    }
    pthread_mutex_unlock(&connection->lock);
    return error;
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

void connection_expect(struct connection *connection, struct waiter *waiter) {
    waiter->next = NULL;
    if (connection->waiters)
        connection->last->next = waiter;
    else
        connection->waiters = waiter;
    connection->last = waiter;
}

/* `previous` is the one before it, NULL for none. */
static void waiter_cut(struct connection *connection, struct waiter *previous,
                       struct waiter *waiter) {
    if (previous)
        previous->next = waiter->next;
    else
        connection->waiters = waiter->next;
    if (connection->last == waiter)
        connection->last = previous;
}

static void waiter_unlink(struct connection *connection, struct waiter *waiter) {
    struct waiter *previous = NULL, *at = connection->waiters;
    for (; at && at != waiter; at = at->next)
        previous = at;
    if (at)
        waiter_cut(connection, previous, waiter);
}

/* Takes the waiter with this serial out of the list. NULL where there is none. */
static struct waiter *waiter_remove(struct connection *connection, uint32_t serial) {
    struct waiter *previous = NULL, *waiter = connection->waiters;
    for (; waiter; previous = waiter, waiter = waiter->next) {
        if (waiter->serial != serial || serial == 0)
            continue;
        waiter_cut(connection, previous, waiter);
        return waiter;
    }
    return NULL;
}

/* With the lock held: wakes all that wait for whatever comes, to look whether it
 * was for them. */
void connection_wake(struct connection *connection) {
    for (struct waiter *waiter = connection->waiters; waiter; waiter = waiter->next)
        if (waiter->serial == 0)
            pthread_cond_signal(&waiter->wake);
}

/* Called with the lock held. No reply of this connection's will come any more, and
 * those who waited must not wait for one of the next. */
static void break_off(struct connection *connection, int error) {
    /* Nobody reads from now on, so the helper must not wait for that. */
    shutdown(connection->socket, SHUT_RDWR);
    connection->broken = error;
    connection->reply = NULL;
    connection->buffers_taken = false;
    for (struct waiter *waiter = connection->waiters, *next; waiter; waiter = next) {
        next = waiter->next;
        if (waiter->serial == 0)
            continue;
        waiter_unlink(connection, waiter);
        waiter->failed = error;
        if (waiter->arrived)
            waiter->arrived(waiter, connection);
        else
            pthread_cond_signal(&waiter->wake);
    }
    if (connection->drop_unsent)
        connection->drop_unsent(connection);
    connection_schedule(connection);
    connection_wake(connection);
}

void connection_cancel(struct connection *connection) {
    pthread_mutex_lock(&connection->lock);
    break_off(connection, ECANCELED);
    pthread_mutex_unlock(&connection->lock);
}

/* A reply to nobody. With serial 0 it says why the helper is about to hang up. */
static void drop_reply(struct connection *connection) {
    const Fdset__V1__Reply *reply = connection->reply;
    packet_descriptors_close(&connection->descriptors);
    if (reply->serial == 0 && reply->body_case == FDSET__V1__REPLY__BODY_ERROR) {
        connection->farewell_error = reply->error->error_number;
        snprintf(connection->farewell, sizeof(connection->farewell), "%s", reply->error->text);
    }
    connection->buffers_taken = false;
}

/* What came is for no thread that waits: it has been dealt with. */
static void packet_done(struct connection *connection) {
    packet_descriptors_close(&connection->descriptors);
    connection->buffers_taken = false;
    connection_wake(connection);
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
    if (connection->reply->body_case == FDSET__V1__REPLY__BODY_EVENTS) {
        if (connection->events_arrived)
            connection->events_arrived(connection, connection->reply->events);
        packet_done(connection);
        return true;
    }
    struct waiter *addressee = waiter_remove(connection, connection->reply->serial);
    if (!addressee) {
        drop_reply(connection);
        return true;
    }
    if (addressee->arrived) {
        addressee->arrived(addressee, connection);
        packet_done(connection);
        return true;
    }
    addressee->answered = true;
    if (addressee->asleep) /* it is not this thread */
        pthread_cond_signal(&addressee->wake);
    return true;
}

int connection_say_broken(const struct connection *connection, int error) {
    switch (error) {
    case ECONNRESET:
        return fail(ECONNRESET, "fdset-helper has hung up or died%s%s",
                    connection->farewell_error ? ": " : "", connection->farewell);
    case ECANCELED:
        return fail(ECANCELED, "the connection to fdset-helper was given up");
    case EPROTO:
        return fail(EPROTO, "what fdset-helper sent is no reply");
    default:
        return fail(error, "receiving from fdset-helper failed: %m");
    }
}

/* Called with the lock held: until the reply is there, or nobody reads any more. */
static void waiter_sleep(struct connection *connection, struct waiter *waiter) {
    NO_CANCELLATION;
    waiter->asleep = true;
    pthread_cond_wait(&waiter->wake, &connection->lock);
    waiter->asleep = false;
}

int connection_await(struct connection *connection, struct waiter *waiter) {
    while (!waiter->answered && !waiter->failed) {
        if (connection->buffers_taken)
            waiter_sleep(connection, waiter);
        else
            read_for_all(connection, 0);
    }
    return waiter->answered ? 0 : connection_say_broken(connection, waiter->failed);
}

void connection_pass_on(struct connection *connection) {
    struct waiter *next = connection->waiters;
    if (connection->buffers_taken)
        return;
    while (next && !next->asleep)
        next = next->next;
    if (next)
        pthread_cond_signal(&next->wake);
}

void connection_release(struct connection *connection) {
    packet_descriptors_close(&connection->descriptors);
    pthread_mutex_lock(&connection->lock);
    connection->buffers_taken = false;
    connection_pass_on(connection);
    pthread_mutex_unlock(&connection->lock);
}

/* ------------------------------------------------------------------ pumping */

const struct timespec *connection_until(struct timespec *until, int timeout_ms) {
    if (timeout_ms < 0)
        return NULL;
    clock_gettime(CLOCK_MONOTONIC, until);
    until->tv_sec += timeout_ms / 1000;
    until->tv_nsec += timeout_ms % 1000 * 1000000L;
    if (until->tv_nsec >= 1000000000L) {
        until->tv_sec++;
        until->tv_nsec -= 1000000000L;
    }
    return until;
}

/* Milliseconds until then, rounded up; -1 for ever. */
static int remaining_ms(const struct timespec *until) {
    struct timespec now;
    if (!until)
        return -1;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long long left =
        (until->tv_sec - now.tv_sec) * 1000LL + (until->tv_nsec - now.tv_nsec + 999999) / 1000000;
    return left <= 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

/* More than one reply is due, so that one of them may have come. */
static bool expects_several(const struct connection *connection) {
    return connection->waiters && connection->waiters->next;
}

/* Reads if something comes in time. Called with the lock held and the buffers free. */
static int pump_read(struct connection *connection, const struct timespec *until) {
    struct pollfd pollfd = {connection->socket, POLLIN, 0};
    if (expects_several(connection) && read_for_all(connection, MSG_DONTWAIT))
        return 1;
    connection->buffers_taken = true;
    pthread_mutex_unlock(&connection->lock);
    int ready = poll(&pollfd, 1, remaining_ms(until));
    pthread_mutex_lock(&connection->lock);
    connection->buffers_taken = false;
    if (ready > 0)
        read_for_all(connection, 0);
    return ready != 0; /* after a signal too: its handler may have changed something */
}

/* So many at once, lest those who wait for outcomes wait for ever. */
#define DRAINED_AT_ONCE 64

void connection_drain(struct connection *connection) {
    for (int i = 0; i < DRAINED_AT_ONCE; i++)
        if (connection->broken || connection->buffers_taken || !connection->waiters ||
            !read_for_all(connection, MSG_DONTWAIT))
            return;
}

/* Somebody else reads, or reconnects: waits until that brings something. */
int connection_wait(struct connection *connection, const struct timespec *until) {
    struct waiter waiter = {.wake = PTHREAD_COND_INITIALIZER, .asleep = true};
    connection_expect(connection, &waiter);
    int error =
        until ? pthread_cond_clockwait(&waiter.wake, &connection->lock, CLOCK_MONOTONIC, until)
              : pthread_cond_wait(&waiter.wake, &connection->lock);
    waiter_unlink(connection, &waiter);
    return error != ETIMEDOUT;
}

int connection_pump(struct connection *connection, const struct timespec *until) {
    int error = connection_check_entry(connection);
    if (error)
        return error;
    if (connection->broken)
        return connection_reconnect(connection, until);
    return connection->buffers_taken ? connection_wait(connection, until)
                                     : pump_read(connection, until);
}

/* Nobody tells of room in the socket: look again after so long. */
#define ROOM_MS 10

int connection_wait_room(struct connection *connection, const struct timespec *until) {
    NO_CANCELLATION;
    struct pollfd pollfd = {connection->socket, POLLIN | POLLOUT, 0};
    struct timespec soon;
    pthread_mutex_unlock(&connection->lock);
    int ready = poll(&pollfd, 1, remaining_ms(until));
    pthread_mutex_lock(&connection->lock);
    if (ready == 0 || connection->broken || pollfd.revents & ~POLLIN)
        return ready != 0;
    if (connection->buffers_taken)
        connection_wait(connection, until && remaining_ms(until) < ROOM_MS
                                        ? until
                                        : connection_until(&soon, ROOM_MS));
    else
        pump_read(connection, connection_until(&soon, 0));
    connection_pass_on(connection);
    return 1;
}

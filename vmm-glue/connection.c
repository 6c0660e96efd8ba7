#include "connection.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "failure.h"
#include "shortcut.h"

/* Open, Close and a short OpenMany fit into this, on the stack. */
#define SMALL_PACKET_BYTES 512

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

/* ---------------------------------------------------------------- receiving */

/* Reads one packet into the buffers. Returns 0 or -errno; nothing said. */
static int packet_read(struct connection *connection, int recvmsg_flags) {
    struct packet_info info;
    int error;
    connection->reply = NULL;
    do {
        /* The kernel reports a reset once, and first; what the helper had sent
         * before it hung up, such as why, comes after. */
        error = packet_receive(connection->socket, connection->bytes, &connection->descriptors,
                               recvmsg_flags, &info);
    } while (error == -ECONNRESET);
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

static void waiter_add(struct connection *connection, struct waiter *waiter) {
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

/* Called with the lock held. Where it returns 0, the reply is in the buffers and
 * they are the caller's. */
static int waiter_wait(struct connection *connection, struct waiter *waiter) {
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
    waiter_add(connection, &waiter);
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

/* ------------------------------------------------------------------ sending */

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
        connection_wait_room(connection, NULL);
    }
}

static int request_send(struct connection *connection, const Fdset__V1__Request *request,
                        const int *descriptors, size_t count, bool patient) {
    uint8_t small[SMALL_PACKET_BYTES];
    size_t length = request_encode_short(request, small, sizeof(small));
    if (length > 0)
        return packet_post(connection, small, length, descriptors, count, patient);

    uint8_t *bytes = malloc(PACKET_MAX_BYTES);
    if (!bytes)
        return -ENOMEM;
    int result = request_encode(request, bytes);
    if (result > 0)
        result = packet_post(connection, bytes, (size_t)result, descriptors, count, patient);
    free(bytes);
    return result;
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
                    PACKET_MAX_BYTES);
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
        waiter_add(connection, waiter);
    return 0;
}

int connection_post(struct connection *connection, Fdset__V1__Request *request,
                    struct waiter *waiter) {
    return waiter ? request_post(connection, request, NULL, 0, waiter, false)
                  : request_send(connection, request, NULL, 0, false);
}

static int foreign_error(void) {
    return fail(ESTALE, "the connection to fdset-helper belongs to the process that made "
                        "it, not to this child of it");
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
    return waiter_wait(connection, &waiter);
}

int connection_call(struct connection *connection, Fdset__V1__Request *request,
                    const int *descriptors, size_t count, Fdset__V1__Reply__BodyCase expected) {
    if (connection_inherited(connection))
        return foreign_error();
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

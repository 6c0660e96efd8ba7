#include "connection.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "failure.h"

/* Any request but a long AddFds or OpenMany packs into this, on the stack. */
#define SMALL_PACKET_BYTES 512

struct waiter {
    uint32_t serial;
    bool answered; /* the reply is in the buffers, and they are this thread's */
    bool asleep;   /* can be woken to read; one that is still sending cannot */
    pthread_cond_t wake;
    struct waiter *next;
};

/* A thread cancelled in here would leave its waiter in the list, or take the
 * buffers with it. */
static int cancellation_off(void) {
    int before;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    return before;
}

static void cancellation_restore(const int *before) {
    pthread_setcancelstate(*before, NULL);
}

#define NO_CANCELLATION \
    __attribute__((cleanup(cancellation_restore), unused)) int cancellation = cancellation_off()

bool connection_foreign(const struct connection *connection) {
    return connection->owner != getpid();
}

/* ------------------------------------------------------------------ sending */

static int request_send(struct connection *connection, const Fdset__V1__Request *request,
                        const int *descriptors, size_t count) {
    uint8_t small[SMALL_PACKET_BYTES];
    uint8_t *bytes = small;
    size_t length = fdset__v1__request__get_packed_size(request);
    if (length > PACKET_MAX_BYTES)
        return -E2BIG;
    if (length > sizeof(small))
        bytes = malloc(length);
    if (!bytes)
        return -ENOMEM;

    fdset__v1__request__pack(request, bytes);
    int error = packet_send(connection->socket, bytes, length, descriptors, count, 0);
    if (bytes != small)
        free(bytes);
    return error;
}

void connection_tell_closed(struct connection *connection, uint32_t *leases, size_t count) {
    NO_CANCELLATION;
    Fdset__V1__Close closed = FDSET__V1__CLOSE__INIT;
    Fdset__V1__Request request = REQUEST(close = &closed, CLOSE);
    closed.leases = leases;
    closed.n_leases = count;
    request_send(connection, &request, NULL, 0);
}

/* ---------------------------------------------------------------- receiving */

/* Reads one packet into the buffers. Returns 0 or -errno; nothing said. */
static int packet_read(struct connection *connection) {
    struct packet_info info;
    int error;
    connection->reply = NULL;
    do {
        /* The kernel reports a reset once, and first; what the helper had sent
         * before it hung up, such as why, comes after. */
        error = packet_receive(connection->socket, connection->bytes, &connection->descriptors, 0,
                               &info);
    } while (error == -ECONNRESET);
    if (error)
        return error;
    if (info.hangup)
        return -ECONNRESET;
    connection->truncated = info.truncated;
    connection->reply = (const Fdset__V1__Reply *)packet_decode(
        &fdset__v1__reply__descriptor, connection->bytes, info.length, &connection->arena);
    if (connection->reply)
        return 0;
    packet_descriptors_close(&connection->descriptors);
    return -EPROTO;
}

static void waiter_add(struct connection *connection, struct waiter *waiter) {
    struct waiter **end = &connection->waiters;
    while (*end)
        end = &(*end)->next;
    *end = waiter;
}

/* Takes the waiter with this serial out of the list. NULL where there is none. */
static struct waiter *waiter_remove(struct connection *connection, uint32_t serial) {
    for (struct waiter **link = &connection->waiters; *link; link = &(*link)->next) {
        struct waiter *waiter = *link;
        if (waiter->serial != serial)
            continue;
        *link = waiter->next;
        return waiter;
    }
    return NULL;
}

static void break_off(struct connection *connection, int error) {
    /* Nobody reads from now on, so the helper must not wait for that, nor a
     * sender for the helper. */
    shutdown(connection->socket, SHUT_RDWR);
    connection->broken = error;
    connection->buffers_taken = false;
    for (struct waiter *waiter = connection->waiters; waiter; waiter = waiter->next)
        pthread_cond_signal(&waiter->wake);
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

/* Called with the lock held and the buffers free: reads one packet, without the
 * lock, and passes the buffers on to the thread that it is for. */
static void read_for_all(struct connection *connection) {
    connection->buffers_taken = true;
    pthread_mutex_unlock(&connection->lock);
    int error = packet_read(connection);
    pthread_mutex_lock(&connection->lock);
    if (error) {
        break_off(connection, -error);
        return;
    }
    struct waiter *addressee = waiter_remove(connection, connection->reply->serial);
    if (!addressee) {
        drop_reply(connection);
        return;
    }
    addressee->answered = true;
    pthread_cond_signal(&addressee->wake);
}

/* Called with the lock held. Says nothing where it works. */
static int broken_error(const struct connection *connection) {
    switch (connection->broken) {
    case 0:
        return 0;
    case ECONNRESET:
        return fail(ECONNRESET, "fdset-helper has hung up or died%s%s",
                    connection->farewell_error ? ": " : "", connection->farewell);
    case EPROTO:
        return fail(EPROTO, "what fdset-helper sent is no reply");
    default:
        return fail(connection->broken, "receiving from fdset-helper failed: %m");
    }
}

static int waiter_enter(struct connection *connection, struct waiter *waiter) {
    pthread_mutex_lock(&connection->lock);
    int error = broken_error(connection);
    if (!error) {
        if (++connection->last_serial == 0) /* 0 means no serial */
            connection->last_serial = 1;
        *waiter = (struct waiter){connection->last_serial, .wake = PTHREAD_COND_INITIALIZER};
        waiter_add(connection, waiter);
    }
    pthread_mutex_unlock(&connection->lock);
    return error;
}

/* Where it returns 0, the reply is in the buffers and they are the caller's. */
static int waiter_wait(struct connection *connection, struct waiter *waiter) {
    int error = 0;
    pthread_mutex_lock(&connection->lock);
    while (!waiter->answered && !connection->broken) {
        if (!connection->buffers_taken) {
            read_for_all(connection);
            continue;
        }
        waiter->asleep = true;
        pthread_cond_wait(&waiter->wake, &connection->lock);
        waiter->asleep = false;
    }
    if (!waiter->answered) {
        waiter_remove(connection, waiter->serial);
        error = broken_error(connection);
    }
    pthread_mutex_unlock(&connection->lock);
    return error;
}

void connection_release(struct connection *connection) {
    NO_CANCELLATION;
    packet_descriptors_close(&connection->descriptors);
    pthread_mutex_lock(&connection->lock);
    connection->buffers_taken = false;
    struct waiter *next = connection->waiters;
    while (next && !next->asleep)
        next = next->next;
    if (next)
        pthread_cond_signal(&next->wake);
    pthread_mutex_unlock(&connection->lock);
}

/* Gives up a call that was not sent. A faulty helper may have answered it. */
static void waiter_leave(struct connection *connection, struct waiter *waiter) {
    pthread_mutex_lock(&connection->lock);
    waiter_remove(connection, waiter->serial);
    pthread_mutex_unlock(&connection->lock);
    if (waiter->answered)
        connection_release(connection);
}

/* -------------------------------------------------------------------- calls */

static int send_error(int error) {
    switch (error) {
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

int connection_call(struct connection *connection, Fdset__V1__Request *request,
                    const int *descriptors, size_t count, Fdset__V1__Reply__BodyCase expected) {
    NO_CANCELLATION;
    struct waiter waiter;
    if (connection_foreign(connection))
        return fail(ESTALE, "the connection to fdset-helper belongs to the process that made "
                            "it, not to this child of it");
    int error = waiter_enter(connection, &waiter);
    if (error)
        return error;
    request->serial = waiter.serial;
    request->descriptors = (uint32_t)count;
    error = request_send(connection, request, descriptors, count);
    if (send_failed(error)) {
        waiter_leave(connection, &waiter);
        return send_error(error);
    }
    error = waiter_wait(connection, &waiter);
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

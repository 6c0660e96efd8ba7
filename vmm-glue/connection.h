/* One connection to fdset-helper, shared by all threads of this process: a
 * request goes out, the reply with its serial comes back.
 *
 * There is one set of receive buffers, and at any time at most one thread has
 * it. A thread that waits for its reply reads if nobody else does; where what
 * it read is another's, it passes the buffers on with the packet still in
 * them, and the addressee takes out what it needs. So a reply that is long in
 * coming holds up no other thread, nothing is copied and nothing allocated.
 *
 * After fork(2) the connection belongs to the parent: a child that used it
 * would speak with the parent's voice. connection_foreign() tells; it is all
 * that a child may call besides connection_close(). The process id decides
 * (not a page wiped on fork), so that a vfork(2) child, which has the parent's
 * memory, is told apart too. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "fdset.pb-c.h"
#include "packet.h"

struct connection;

/* Somebody who waits for what the helper sends: a call for its reply, on the
 * waiting thread's stack; an open that was submitted, which no thread waits for;
 * or, with serial 0, a thread that waits for whatever comes. */
struct waiter {
    uint32_t serial;
    bool answered; /* the reply is in the buffers, and they are this thread's */
    bool asleep;   /* can be woken to read; one that is still sending cannot */
    pthread_cond_t wake;
    struct waiter *next;

    /* Where no thread waits: takes what it needs out of the buffers. Called by
     * whichever thread read the reply, with the lock held. */
    void (*arrived)(struct waiter *waiter, struct connection *connection);
};

struct connection {
    int socket;
    pid_t owner;          /* the process that connected */
    Fdset__V1__Role role; /* what the helper says this connection may do */

    pthread_mutex_t lock; /* guards the block below */
    uint32_t last_serial;
    struct waiter *waiters; /* those without a reply yet */
    bool buffers_taken;
    int broken;         /* why it is over, a positive errno, or 0 */
    int farewell_error; /* what the helper said before it hung up, 0 if nothing, */
    char farewell[256]; /* and in words */

    /* Called as `arrived` is, with events; NULL where none are expected. */
    void (*events_arrived)(struct connection *connection, const Fdset__V1__Events *events);

    /* Belong to the thread that took the buffers. */
    const Fdset__V1__Reply *reply;
    struct packet_descriptors descriptors;
    bool truncated;
    uint8_t bytes[PACKET_MAX_BYTES];
    struct packet_arena arena;
};

/* A request without content yet. */
#define REQUEST(member, body)                                     \
    {                                                             \
        PROTOBUF_C_MESSAGE_INIT(&fdset__v1__request__descriptor), \
            .body_case = FDSET__V1__REQUEST__BODY_##body, .member \
    }

/* All that can fail return 0 or -errno and have said why (failure.h). */

/* Connects to a socket by path. Returns the socket, close-on-exec. */
int connection_dial(const char *path);

/* Shakes hands as `role` (a MANAGER may turn out to be an OBSERVER) and fills
 * in `connection`, zeroed before. Consumes `socket`, also on failure. NULL for
 * `name` means the program's own, for `owner` none. */
int connection_open(struct connection *connection, int socket, Fdset__V1__Role role,
                    const char *name, const char *owner);

/* Hangs up: for the parent's socket too, whoever has a copy of it. In a child,
 * only closes the child's copy. */
void connection_close(struct connection *connection);

/* Is this a process that forked off from the one that connected? */
bool connection_foreign(const struct connection *connection);

/* Sends `request` with `count` descriptors, which it borrows, and waits for the
 * reply, which must be of kind `expected`. The reply and its descriptors are in
 * the connection's buffers until connection_release(), which must follow soon:
 * until then no thread receives. After a failure there is nothing to release.
 * An Error from the helper is a failure, with the helper's number and text. */
int connection_call(struct connection *connection, Fdset__V1__Request *request,
                    const int *descriptors, size_t count, Fdset__V1__Reply__BodyCase expected);

/* Did all `expected` descriptors come with the reply? If so the caller may
 * packet_descriptors_take() them. */
int connection_check_descriptors(struct connection *connection, size_t expected);

/* Closes the descriptors that were not taken and lets the next thread receive. */
void connection_release(struct connection *connection);

/* The same without waiting: the reply goes to waiter->arrived(). The waiter is the
 * connection's until then, or until connection_cancel(). -EAGAIN where the socket
 * is full: then it is the caller's again, as after any failure. */
int connection_submit(struct connection *connection, Fdset__V1__Request *request,
                      struct waiter *waiter);
void connection_cancel(struct connection *connection, struct waiter *waiter);

/* The same with the lock held. */
void connection_forget(struct connection *connection, struct waiter *waiter);

/* Waits for `until` (CLOCK_MONOTONIC; NULL: for ever) or until a packet has
 * come, whoever read it. Called with the lock held. Returns 1 if something may
 * have changed, 0 where the time is over, or -errno (said) where the connection
 * is. */
int connection_pump(struct connection *connection, const struct timespec *until);

/* The point in time `timeout_ms` from now; NULL for -1, which is for ever. */
const struct timespec *connection_until(struct timespec *until, int timeout_ms);

/* A thread cancelled while it has the buffers or stands in the list of waiters
 * would take them with it. To be put first in a function that may. */
int cancellation_off(void);
void cancellation_restore(const int *before);
#define NO_CANCELLATION \
    __attribute__((cleanup(cancellation_restore), unused)) int cancellation = cancellation_off()

/* Tells the helper that leases are closed. No reply; nothing to be done about
 * a failure, as without a connection there are no leases. */
void connection_tell_closed(struct connection *connection, uint32_t *leases, size_t count);

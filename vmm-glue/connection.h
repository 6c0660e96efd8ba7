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

#include "fdset.pb-c.h"
#include "packet.h"

/* A call that waits for its reply; lives on the waiting thread's stack. */
struct waiter;

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
 * in `connection`. Consumes `socket`, also on failure. NULL for `name` means
 * the program's own. */
int connection_open(struct connection *connection, int socket, Fdset__V1__Role role,
                    const char *name);

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

/* Tells the helper that leases are closed. No reply; nothing to be done about
 * a failure, as without a connection there are no leases. */
void connection_tell_closed(struct connection *connection, uint32_t *leases, size_t count);

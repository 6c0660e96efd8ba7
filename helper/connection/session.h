/* SPDX-License-Identifier: MIT */
/* A connection: its socket, its role, and the reply that it has not yet taken.
 *
 * A session is read only while it has no reply pending, so what a peer that
 * never reads can hold up is bounded: what its socket's buffer takes, and one
 * reply of its own. A turn of the loop serves it a few packets at most. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

#include "connection/loop.h"
#include "containers/deadline.h"
#include "model/model.h"
#include "packet.h"
#include "settle/settle.h"

struct pending;
struct event_queue;
struct chore;

/* The values are those of fdset.proto. */
enum role { ROLE_VMM = 1, ROLE_MANAGER = 2, ROLE_OBSERVER = 3 };

struct session {
    struct watch watch; /* fd owned; -1 after session_hang_up() */
    struct list link;   /* in sessions.all, or in sessions.leaving */
    struct list gone;   /* in sessions.gone, from when its peer was found gone; or in unread */
    struct list in_endpoint;
    struct deadline resend; /* running while time alone lets what is pending through */
    uint8_t tries;          /* so often it has run without success */

    /* Running until Hello has come; and, of a VMM, while a reply is pending: then so much of what
     * it had been sent was unread as it began. */
    struct deadline patience;
    uint32_t unread;
    struct sessions *sessions;
    struct holder holder; /* its leases, and who it is */
    uint64_t number;      /* never used twice, as 32 bits would be after some days of a flood */
    enum role role;
    uid_t uid;                            /* SO_PEERCRED */
    char owner[FDSET_MAX_NAME_BYTES + 1]; /* a manager's label, "" for none */
    struct event_queue *events;           /* of one that has subscribed, else NULL */
    bool handed_over; /* connected when the helper got it: the kernel tells who made the pair */
    bool greeted;     /* Hello has been exchanged */
    bool hung_up;     /* no more is read or sent */
    bool ended;       /* nothing is left of it but this */
    bool leaving;     /* ends when the pending reply is out */
    bool lingers;     /* has ended, but its peer has descriptors to receive */

    /* Descriptors may lie in its queue: whoever receives such a packet without room for them, or
     * closes the socket, closes them. */
    bool carries;
    /* So many bytes, and no more, may come with descriptors, as they were sent before the kernel
     * was told to refuse these; UINT64_MAX: it was not. */
    uint64_t carrying_bytes;
    bool brought;          /* it has sent descriptors, which is not for it to do */
    struct leftovers left; /* what a settle thread is to close for it */
    uint32_t kept;         /* of that, descriptors that it has brought */
    int socket_left;       /* its socket, which is to be closed when the rest is; -1: not yet */

    bool sends_ahead;   /* had another packet waiting behind the last */
    uint8_t next_probe; /* so many packets until that is looked at again */

    /* Descriptors that the peer may not have received yet, part of its endpoint's; and the most
     * in one packet, since it was last seen to have read everything. */
    uint32_t in_flight;
    uint32_t in_flight_most;
    uint32_t waiting_count; /* opens that wait */
    struct list waits;      /* these: of the layer above, as the next */
    struct list deferrals;  /* answers that come later */
    bool missed;            /* one of them came while it took nothing */
    uint64_t features;      /* bits of fdset.proto, Feature, that both sides know */

    struct chore *chore;     /* a request that takes more than a turn, or NULL */
    struct pending *pending; /* a reply that the socket was too full for, or NULL */
};

/* All connections. */
struct sessions {
    struct loop loop;
    struct lane managers, observers; /* a VMM's is its endpoint's */
    struct slab slab, pending_slab;
    struct list all;
    struct list leaving; /* they have ended, and their sockets are being closed */
    struct settle *settle;

    /* Descriptors of those who should not have sent any, which are yet to be closed; and how
     * many there may be. */
    uint32_t received, received_most;
    const struct limits *limits;
    struct endpoints *endpoints;
    struct list gone, unread;
    struct deadlines resends, patience;
    uint64_t accepted; /* ever */
    uint32_t paused;   /* listeners that are not polled */

    /* The upper layer's: a session has sent something, has room, or has gone. */
    void (*ready)(struct watch *watch, uint32_t epoll_events);

    uint8_t bytes[FDSET_MAX_PACKET_BYTES]; /* the reply at hand */
};

/* Takes all memory for as many as `limits` allow, which are borrowed, as `endpoints` and
 * `settle` are. `now_ms` is the loop's. Returns 0 or -errno. */
int sessions_init(struct sessions *sessions, const struct limits *limits,
                  struct endpoints *endpoints, struct settle *settle, uint64_t *now_ms);

/* The part of the connections that those of this role are taken from: of a VMM, and of what is
 * bound to an endpoint, its endpoint's. */
struct share *session_share(struct sessions *sessions, enum role role, struct endpoint *endpoint);

/* In which lane they wait for their turn; a VMM's is its endpoint's. */
struct lane *session_lane(struct sessions *sessions, enum role role, struct endpoint *endpoint);

/* Begins a session on a connected socket, which it consumes but on failure. A VMM's is its
 * endpoint's. Returns NULL where the limit of connections is reached or it cannot be watched. */
struct session *session_begin(struct sessions *sessions, int socket, enum role role,
                              struct endpoint *endpoint);

/* Closes its socket, or has that done. The object lives until session_free(). What a peer has
 * been sent and has not received stays in flight when the socket is closed, for as long as the
 * peer likes: so that is awaited first. Until then the session lingers, and counts as its
 * endpoint's. */
void session_hang_up(struct session *session);

/* The same without waiting, for the end. */
void session_hang_up_last(struct session *session);

/* Of one that lingers: closes its socket if all is received. */
void session_linger(struct session *session);

/* Frees one that has been hung up on, once its socket is closed; one that lingers only leaves
 * those that live. */
void session_free(struct session *session);

/* Has descriptors closed which the peer should not have sent: it has to go. */
void session_keep_received(struct session *session, struct packet_descriptors *received);

/* Has the next packet received and dropped, with its descriptors, by a settle thread. The
 * session is not served until that is done. Only while nothing else is left. */
void session_drop_packet(struct session *session);

/* Its peer has gone, or has been hung up on. It is freed at the end of the turn. */
static inline bool session_is_gone(const struct session *session) {
    return !list_empty(&session->gone);
}

/* Its peer is there, and has taken all that it was sent. */
static inline bool session_takes(const struct session *session) {
    return !session->pending && !session_is_gone(session);
}

/* Of one that carries: so many bytes of its queue have been received. */
static inline void session_received(struct session *session, size_t length) {
    session->carries = length <= session->carrying_bytes;
    if (session->carries)
        session->carrying_bytes -= length;
}

/* What it is polled for while nothing is pending. */
static inline uint32_t session_events(const struct session *session) {
    return session->left.drop ? EPOLLET : EPOLLIN;
}

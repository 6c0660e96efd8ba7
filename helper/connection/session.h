/* SPDX-License-Identifier: MIT */
/* A connection: its socket, its role, and the reply that it has not yet taken.
 *
 * A session is read only while it has no reply pending, so what a peer that
 * never reads can hold up is bounded: what its socket's buffer takes, and one
 * reply of its own. A turn of the loop serves it a few packets at most. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "connection/loop.h"
#include "model/model.h"
#include "packet.h"

struct service;
struct subscription;

/* The values are those of fdset.proto. */
enum role { ROLE_VMM = 1, ROLE_MANAGER = 2, ROLE_OBSERVER = 3 };

struct session {
    struct watch watch; /* fd owned */
    struct list link;   /* in service.sessions */
    struct service *service;
    struct holder holder; /* its leases, and who it is */
    uint64_t number;      /* never used twice, as 32 bits would be after some days of a flood */
    enum role role;
    uid_t uid;                            /* SO_PEERCRED */
    char owner[FDSET_MAX_NAME_BYTES + 1]; /* a manager's label, "" for none */
    struct subscription *subscription;    /* NULL for none */
    bool handed_over; /* connected when the helper got it: the kernel tells who made the pair */
    bool greeted;     /* Hello has been exchanged */
    bool closing;     /* ends when the pending reply is out */
    bool broken;      /* a send found the peer gone; ended at the end of the turn */
    bool ended;       /* hung up; freed at the end of the turn */
    bool stuffed;     /* what is pending is tried again in time, not when there is room */

    bool sends_ahead;   /* had another packet waiting behind the last */
    uint8_t next_probe; /* so many packets until that is looked at again */

    /* Descriptors that the peer may not have read yet: not fewer than there are; and the
     * most in one packet, since it was last seen to have read everything. */
    uint32_t in_flight;
    uint32_t in_flight_most;
    uint32_t waiting_count; /* opens that wait */
    uint64_t features;      /* bits of fdset.proto, Feature, that both sides know */

    struct pending *pending; /* a reply that the socket was too full for, or NULL */
};

/* Descriptors are kept as leases: a lease keeps its member, so that the number is
 * right at the time it is sent. It is there until then, as a session's leases end
 * by what it sends, which is not read before, or with the session. */
struct pending {
    uint32_t length;
    uint32_t lease_count;
    struct lease *leases[FDSET_MAX_DESCRIPTORS];
    uint8_t bytes[FDSET_MAX_PACKET_BYTES];
};

/* Begins a session on a connected socket, which it consumes, also on failure.
 * Returns NULL where the limit of connections is reached or it cannot be watched. */
struct session *session_begin(struct service *service, int socket, enum role role);

/* Sends `length` bytes with the descriptors of `leases`, or keeps them until
 * that can be done. Only without a reply pending. A peer that has gone is no
 * error: the session ends with this turn of the loop, so that callers need not
 * fear for it. */
void session_send(struct session *session, const uint8_t *bytes, uint32_t length,
                  struct lease *const *leases, uint32_t lease_count);

/* Tries again what is pending where the socket's having room is no sign. */
void session_retry(struct session *session);

/* No more is read; ends as soon as its pending reply is out. */
void session_close(struct session *session);

/* Ends all leases, hangs up. The object lives until session_free(). */
void session_end(struct session *session);
void session_free(struct session *session);

/* The session of this number, which there must be. */
struct session *session_find(struct service *service, uint64_t number);

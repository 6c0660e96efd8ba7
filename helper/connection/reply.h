/* SPDX-License-Identifier: MIT */
/* What a session is sent: replies as messages of the protocol, and what it has not yet taken. */
#pragma once

#include "connection/session.h"
#include "fdset.pb-c.h"
#include "model/refusal.h"

/* Fills in the protocol's Error; the text is borrowed from the refusal. */
void error_fill(Fdset__V1__Error *error, struct refusal *refusal);

/* Encodes an Error into sessions.bytes, and returns where there. */
const uint8_t *reply_encode_error(struct sessions *sessions, uint32_t serial,
                                  struct refusal *refusal, size_t *length);

/* Sends a reply whose body, a message of this kind, is `body`, with the descriptors of
 * `leases`. */
void reply_send(struct session *session, uint32_t serial, Fdset__V1__Reply__BodyCase kind,
                void *body, struct lease *const *leases, uint32_t lease_count);
void reply_error(struct session *session, uint32_t serial, struct refusal *refusal);

/* The answer to what needs none: done. */
void reply_done(struct session *session, uint32_t serial);

/* A reply that is kept. Its descriptors are kept as leases: a lease keeps its member, so that
 * the number is right at the time it is sent. It is there until then, as a session's leases end
 * by what it sends, which is not read before, or with the session. */
struct pending {
    uint32_t length;
    uint32_t lease_count;
    struct lease *leases[FDSET_MAX_DESCRIPTORS];
    uint8_t bytes[FDSET_MAX_PACKET_BYTES];
};

/* Sends `length` bytes with the descriptors of `leases`, or keeps them until
 * that can be done. Only without a reply pending. A peer that has gone is no
 * error: the session ends with this turn of the loop, so that callers need not
 * fear for it. */
void outbox_send(struct session *session, const uint8_t *bytes, uint32_t length,
                 struct lease *const *leases, uint32_t lease_count);

/* Tries again to send what is pending. Returns whether nothing is any more. */
bool outbox_flush(struct session *session);

/* Forgets what is pending. */
void outbox_drop(struct session *session);

/* Whether its peer has descriptors that it has not received. Forgets those that it has. */
bool outbox_in_flight(struct session *session);

/* The patience with its peer, for which a reply waits, is over. Returns whether the peer has read
 * nothing; if it has, patience begins anew. */
bool outbox_reads_nothing(struct session *session);

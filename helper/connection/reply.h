/* SPDX-License-Identifier: MIT */
/* Replies as messages of the protocol. */
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

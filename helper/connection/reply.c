/* SPDX-License-Identifier: MIT */
/* Encodes replies, those that many requests have among them: errors, and that all is done. */
#include "connection/reply.h"

#include <assert.h>

#include "shortcut/shortcut.h"

static_assert((int)REFUSAL_PROTOCOL == FDSET__V1__CODE__CODE_PROTOCOL &&
                  (int)REFUSAL_LIMIT == FDSET__V1__CODE__CODE_LIMIT &&
                  (int)REFUSAL_PATH == FDSET__V1__CODE__CODE_PATH &&
                  (int)REFUSAL_FLAGS == FDSET__V1__CODE__CODE_FLAGS &&
                  (int)REFUSAL_BAD_FD == FDSET__V1__CODE__CODE_BAD_FD &&
                  (int)REFUSAL_NAME == FDSET__V1__CODE__CODE_NAME &&
                  (int)REFUSAL_NO_MEMBER == FDSET__V1__CODE__CODE_NO_MEMBER,
              "refusal.h and fdset.proto have the same codes");

void error_fill(Fdset__V1__Error *error, struct refusal *refusal) {
    fdset__v1__error__init(error);
    error->code = (Fdset__V1__Code)refusal->code;
    error->error_number = refusal->error;
    error->text = refusal->text;
}

/* All bodies are pointers to messages: `done` stands for whichever it is. */
static const uint8_t *encode(struct sessions *sessions, uint32_t serial,
                             Fdset__V1__Reply__BodyCase kind, void *body, uint32_t descriptors,
                             size_t *length) {
    Fdset__V1__Reply reply = FDSET__V1__REPLY__INIT;

    reply.serial = serial;
    reply.descriptors = descriptors;
    reply.body_case = kind;
    reply.done = body;
    const uint8_t *bytes = reply_encode(&reply, sessions->bytes, length);
    assert(bytes); /* every handler keeps within a packet */
    return bytes;
}

const uint8_t *reply_encode_error(struct sessions *sessions, uint32_t serial,
                                  struct refusal *refusal, size_t *length) {
    Fdset__V1__Error error;

    error_fill(&error, refusal);
    return encode(sessions, serial, FDSET__V1__REPLY__BODY_ERROR, &error, 0, length);
}

void reply_send(struct session *session, uint32_t serial, Fdset__V1__Reply__BodyCase kind,
                void *body, struct lease *const *leases, uint32_t lease_count) {
    size_t length;
    const uint8_t *bytes = encode(session->sessions, serial, kind, body, lease_count, &length);

    outbox_send(session, bytes, (uint32_t)length, leases, lease_count);
}

void reply_error(struct session *session, uint32_t serial, struct refusal *refusal) {
    Fdset__V1__Error error;

    error_fill(&error, refusal);
    reply_send(session, serial, FDSET__V1__REPLY__BODY_ERROR, &error, NULL, 0);
}

void reply_done(struct session *session, uint32_t serial) {
    Fdset__V1__Done done = FDSET__V1__DONE__INIT;

    reply_send(session, serial, FDSET__V1__REPLY__BODY_DONE, &done, NULL, 0);
}

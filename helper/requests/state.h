/* SPDX-License-Identifier: MIT */
/* All that the helper has, each part of it declared where it is looked after. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "connection/session.h"
#include "model/model.h"
#include "packet.h"
#include "requests/deferred.h"
#include "requests/subscription.h"
#include "requests/waiting.h"
#include "settle/settle.h"

/* Members that may be offered at once beside those in sets: one packet being
 * looked at, and one refused that is still being closed. */
#define SPARE_MEMBERS (2 * FDSET_MAX_DESCRIPTORS)

/* The request at hand. One packet at a time is looked at, so one of each is enough. */
struct inbox {
    const struct session *serving; /* whose it is: its reply comes before events */
    uint64_t malformed;            /* ever */
    struct offer {
        struct member *members[FDSET_MAX_DESCRIPTORS];
        uint32_t count;
    } offer; /* the descriptors that came with it */
    struct packet_descriptors received;
    struct refusal refusal; /* why it is not done, where it is not */
    struct packet_arena arena;
    uint8_t bytes[FDSET_MAX_PACKET_BYTES];
};

/* A stage of the sandbox, in words; main() knows them from confine/. */
struct sandbox_stage {
    const char *name;
    bool whole;
    const char *detail;
};

struct service {
    struct model model;
    struct settle settle;
    struct waits waits;
    struct deferrals deferrals;
    struct subscriptions subscriptions;
    struct slab chore_slab;
    uint64_t started_ms;
    const struct sandbox_stage *sandbox; /* what was reached, for Query */
    size_t sandbox_count;
    struct sessions sessions;
    struct inbox inbox;
};

static inline struct service *service_of(const struct session *session) {
    return list_object(session->sessions, struct service, sessions);
}

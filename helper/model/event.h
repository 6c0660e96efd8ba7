/* SPDX-License-Identifier: MIT */
/* What happens in the model and the service, for those who subscribed. The
 * kinds and fields are those of fdset.proto, message Event. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "name.h"

enum event_kind {
    EVENT_ADDED = 1,
    EVENT_REMOVED,
    EVENT_OPENED,
    EVENT_CLOSED,
    EVENT_DENIED,
    EVENT_WANTED,
    EVENT_SET_GONE,
    EVENT_VMM_CONNECTED,
    EVENT_VMM_GONE,
    EVENT_SETTLE_STUCK,
    EVENT_KINDS,
};

struct endpoint;

/* A lease that is in the way of an open. */
struct event_holder {
    uint64_t lease; /* 0: none */
    uint32_t connection;
    pid_t pid;
    const struct endpoint *endpoint;
    char name[FDSET_MAX_NAME_BYTES + 1];
};

struct event {
    enum event_kind kind;
    bool has_set;
    uint32_t set;
    uint32_t member;
    uint64_t lease;
    int flags;
    int code; /* enum refusal_code */
    uint32_t wait_ms;
    uint64_t sequence;
    uint64_t time_ms; /* since 1970, UTC */
    uint64_t connection;
    pid_t pid;
    char name[FDSET_MAX_NAME_BYTES + 1];
    const struct endpoint *endpoint, *reserved; /* the VMM's, the set's; NULL: none */
    struct event_holder held_by;
    char path[SET_PATH_BYTES];
};

/* SPDX-License-Identifier: MIT */
/* The inside of a manager's object. */
#pragma once

#include <fdset/manager.h>

#include "wire/connection.h"

struct fdset_manager {
    struct connection connection;

    /* Events that have come and were not asked for yet, a ring; guarded by the
     * connection's lock. NULL before the first subscription. */
    struct fdset_event *events;
    size_t first_event, event_count;
    uint64_t lost; /* before the next to come */

    /* What was subscribed to, for a new connection; changed by who has the buffers. */
    bool subscribed;
    uint32_t kinds;
};

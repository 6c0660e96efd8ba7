/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "ask/maxima.h"

#define LIMIT(field, total, help) \
    { #field, total, help, offsetof(struct fdset_limits, field) }

static const struct limit all[] = {
    LIMIT(sets, "sets", "Sets that there may be"),
    LIMIT(members, "members", "Members that there may be, with those that are removed but leased"),
    LIMIT(leases, "leases", "Descriptors that VMMs may have open"),
    LIMIT(leases_per_vmm, NULL, "Descriptors that one connection of a VMM may have open"),
    LIMIT(connections, "connections", "Connections that there may be"),
    LIMIT(waiting, "waiting", "Opens that may wait"),
    LIMIT(holds, "holds", "Holds that there may be"),
    LIMIT(event_queue, NULL, "Events that are kept for a subscriber that does not read"),
    LIMIT(packet_bytes, NULL, "Bytes of a packet"),
    LIMIT(packet_descriptors, NULL, "Descriptors of a packet"),
};

const struct limit *limit_at(size_t index) {
    return index < sizeof all / sizeof *all ? &all[index] : NULL;
}

uint32_t limit_value(const struct limit *limit, const struct fdset_limits *limits) {
    uint32_t value;

    memcpy(&value, (const char *)limits + limit->offset, sizeof value);
    return value;
}

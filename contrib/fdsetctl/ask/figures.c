/* SPDX-License-Identifier: MIT */
/* What is counted in a helper, and what it is counted up to: two tables of names. */
#include "ask/figures.h"

#include <string.h>

#include "common/say.h"

#define FIGURE(structure, field, type, help)                   \
    {                                                          \
#field, type, help, offsetof(struct structure, field), \
            sizeof(((struct structure *)0)->field)             \
    }
#define TOTAL(field, type, help) FIGURE(fdset_totals, field, FIGURE_##type, help)
#define LIMIT(field, help)       FIGURE(fdset_limits, field, FIGURE_GAUGE, help)

const struct figure total_figures[] = {
    TOTAL(sets, GAUGE, "Sets"),
    TOTAL(members, GAUGE, "Members of sets, with those that are removed but still leased"),
    TOTAL(leases, GAUGE, "Descriptors that VMMs have open"),
    TOTAL(connections, GAUGE, "Connections of VMMs, managers and observers"),
    TOTAL(settling, GAUGE, "Descriptors that a slow file system has yet to let go of"),
    TOTAL(waiting, GAUGE, "Opens that wait"),
    TOTAL(opens, COUNTER, "Opens that succeeded"),
    TOTAL(denied, COUNTER, "Opens that were refused"),
    TOTAL(closes, COUNTER, "Leases that ended by a close"),
    TOTAL(hangups, COUNTER, "Leases that ended with their holder's connection"),
    TOTAL(uptime_ms, TIME, "Time since the helper was started"),
    TOTAL(holds, GAUGE, "Holds of sets by VMMs"),
    TOTAL(subscribers, GAUGE, "Connections that are told of events"),
    TOTAL(added, COUNTER, "Members that were added"),
    TOTAL(removed, COUNTER, "Members that were removed, or whose lifetime was over"),
    TOTAL(waited, COUNTER, "Opens that had to wait"),
    TOTAL(expired, COUNTER, "Opens that waited until their time was over"),
    TOTAL(events_lost, COUNTER, "Events that subscribers were too slow for"),
    TOTAL(accepted, COUNTER, "Connections that were accepted"),
    TOTAL(malformed, COUNTER, "Connections that were ended for a malformed packet"),
    {NULL},
};

const struct figure limit_figures[] = {
    LIMIT(sets, "Sets that there may be"),
    LIMIT(members, "Members that there may be, with those that are removed but leased"),
    LIMIT(leases, "Descriptors that VMMs may have open"),
    LIMIT(leases_per_vmm, "Descriptors that one virtual machine may have open"),
    LIMIT(connections, "Connections that there may be"),
    LIMIT(waiting, "Opens that may wait"),
    LIMIT(holds, "Holds that there may be"),
    LIMIT(event_queue, "Events that are kept for a subscriber that does not read"),
    LIMIT(packet_bytes, "Bytes of a packet"),
    LIMIT(packet_descriptors, "Descriptors of a packet"),
    {NULL},
};

#define ENDPOINT(field, help) FIGURE(fdset_endpoint_info, field, FIGURE_GAUGE, help)

const struct figure endpoint_figures[] = {
    ENDPOINT(leases, "Descriptors that a virtual machine has open"),
    ENDPOINT(leases_kept, "Descriptors that are kept for it"),
    ENDPOINT(waiting, "Opens of a virtual machine that wait"),
    ENDPOINT(waiting_kept, "Waiting opens that are kept for it"),
    ENDPOINT(holds, "Holds of a virtual machine"),
    ENDPOINT(holds_kept, "Holds that are kept for it"),
    ENDPOINT(connections, "Connections of a virtual machine"),
    ENDPOINT(connections_kept, "Connections that are kept for it"),
    ENDPOINT(in_flight, "Descriptors that a virtual machine may not have received yet"),
    {NULL},
};

/* They have the same name. */
const struct figure *limit_total(const struct figure *limit) {
    for (const struct figure *total = total_figures; total->name; total++)
        if (strcmp(total->name, limit->name) == 0)
            return total;
    return NULL;
}

uint64_t figure_value(const struct figure *figure, const void *figures) {
    const char *place = (const char *)figures + figure->offset;
    uint32_t narrow;
    uint64_t wide;

    if (figure->size == sizeof(narrow)) {
        memcpy(&narrow, place, sizeof(narrow));
        return narrow;
    }
    memcpy(&wide, place, sizeof(wide));
    return wide;
}

struct fdset_listing *totals_ask(struct fdset_manager *manager) {
    /* Of no owner's sets: what is wanted comes with them. */
    struct fdset_filter nothing = {.owner = "\x7f", .endpoints = true};
    struct fdset_listing *listing;

    if (fdset_query_filtered(manager, &nothing, &listing) < 0)
        die("%s", fdset_error_text());
    return listing;
}

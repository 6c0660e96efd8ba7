/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "ask/totals.h"
#include "base/verb.h"

#define TOTAL(field, type, help)                                  \
    {                                                             \
#field, type, help, offsetof(struct fdset_totals, field), \
            sizeof(((struct fdset_totals *)0)->field)             \
    }

static const struct total all[] = {
    TOTAL(sets, TOTAL_GAUGE, "Sets"),
    TOTAL(members, TOTAL_GAUGE, "Members of sets, with those that are removed but still leased"),
    TOTAL(leases, TOTAL_GAUGE, "Descriptors that VMMs have open"),
    TOTAL(connections, TOTAL_GAUGE, "Connections of VMMs, managers and observers"),
    TOTAL(settling, TOTAL_GAUGE, "Descriptors that a slow file system has yet to let go of"),
    TOTAL(waiting, TOTAL_GAUGE, "Opens that wait"),
    TOTAL(opens, TOTAL_COUNTER, "Opens that succeeded"),
    TOTAL(denied, TOTAL_COUNTER, "Opens that were refused"),
    TOTAL(closes, TOTAL_COUNTER, "Leases that ended by a close"),
    TOTAL(hangups, TOTAL_COUNTER, "Leases that ended with their holder's connection"),
    TOTAL(uptime_ms, TOTAL_TIME, "Time since the helper was started"),
    TOTAL(holds, TOTAL_GAUGE, "Holds of sets by VMMs"),
    TOTAL(subscribers, TOTAL_GAUGE, "Connections that are told of events"),
    TOTAL(added, TOTAL_COUNTER, "Members that were added"),
    TOTAL(removed, TOTAL_COUNTER, "Members that were removed, or whose lifetime was over"),
    TOTAL(waited, TOTAL_COUNTER, "Opens that had to wait"),
    TOTAL(expired, TOTAL_COUNTER, "Opens that waited until their time was over"),
    TOTAL(events_lost, TOTAL_COUNTER, "Events that subscribers were too slow for"),
    TOTAL(accepted, TOTAL_COUNTER, "Connections that were accepted"),
    TOTAL(malformed, TOTAL_COUNTER, "Connections that were ended for a malformed packet"),
};

const struct total *total_at(size_t index) {
    return index < sizeof all / sizeof *all ? &all[index] : NULL;
}

uint64_t total_value(const struct total *total, const struct fdset_totals *totals) {
    const char *place = (const char *)totals + total->offset;
    uint32_t narrow;
    uint64_t wide;

    if (total->size == sizeof narrow) {
        memcpy(&narrow, place, sizeof narrow);
        return narrow;
    }
    memcpy(&wide, place, sizeof wide);
    return wide;
}

struct fdset_totals totals_ask(const char *name, struct fdset_manager *manager) {
    /* Of no owner's sets: what is wanted comes with them. */
    struct fdset_filter nothing = {.owner = "\x7f"};
    struct fdset_listing *listing;

    if (fdset_query_filtered(manager, &nothing, &listing) < 0)
        refused(name, "%s", fdset_error_text());
    struct fdset_totals totals = listing->totals;
    fdset_listing_free(listing);
    return totals;
}

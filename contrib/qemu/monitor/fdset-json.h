/* SPDX-License-Identifier: MIT */
/* What the helper tells, as JSON. */
#pragma once

#include <fdset/manager.h>
#include <jansson.h>

#include "text.h"

/* The value as jansson reads it; NULL where it cannot. */
json_t *json_read(struct span json);

/* Would QEMU list it? Not, where its members are only on their way out. */
bool set_is_visible(const struct fdset_info *set);

/* A string; what is not UTF-8, as somebody else's label or a path may be, has '?' for
 * each byte that is not ASCII. NULL where memory ran out. */
json_t *text_json(const char *text);

/* The answer to query-fdsets: sets by descending id, members oldest first. NULL
 * where memory ran out. */
json_t *sets_json(const struct fdset_listing *listing);

/* The answer to x-fdset-query-leases. */
json_t *leases_json(const struct fdset_listing *listing);

/* An event's data. */
json_t *event_json(const struct fdset_event *event, uint64_t lost);

/* FDSET_WANTED and so on; NULL where there is no such QMP event. */
const char *event_name(enum fdset_event_kind kind);

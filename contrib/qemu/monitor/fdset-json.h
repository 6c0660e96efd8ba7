/* SPDX-License-Identifier: MIT */
/* What the helper tells, as JSON. */
#pragma once

#include <fdset/manager.h>
#include <jansson.h>

#include "text.h"

/* The value as jansson reads it; NULL where it cannot. */
json_t *json_read(struct span json);

/* A string; what is not UTF-8, as somebody else's label or a path may be, has '?' for
 * each byte that is not ASCII. NULL where memory ran out. */
json_t *text_json(const char *text);

/* The label in the emulator of a member that has none: libvirt 11.3 reads the label of each
 * member when it looks for its own, and crashes where there is none. An empty one may have been
 * given, so it is a word. */
#define UNLABELLED "unlabelled"

/* The answer to x-fdset-query-leases; NULL where memory ran out. */
json_t *leases_json(const struct fdset_listing *listing);

/* An event's data. */
json_t *event_json(const struct fdset_event *event, uint64_t lost);

/* FDSET_WANTED and so on; NULL where there is no such QMP event. */
const char *event_name(enum fdset_event_kind kind);

/* What query-qmp-schema says of the commands and events that QEMU does not have: entries as they
 * stand in a JSON array. */
extern const char schema_text[];

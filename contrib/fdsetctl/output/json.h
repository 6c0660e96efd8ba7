/* SPDX-License-Identifier: MIT */
/* JSON for programs, by jansson. libsmartcols, which prints the tables, has JSON
 * too, but only flat: each member would repeat its set, and its leases would
 * not fit in at all.
 *
 * What is absent is null. Numbers are numbers. Keys are only ever added. */
#pragma once

#include <jansson.h>

#include <fdset/manager.h>

#include "ask/sources.h"

/* A JSON string, null for NULL. Where `text` is not UTF-8, which JSON must be,
 * every byte that is not ASCII is replaced by U+FFFD. */
json_t *json_text(const char *text);

/* A number, or null where it is not there. */
json_t *number_json(uint64_t number, bool is_there);

/* Sets, in each its members, in each its leases; opens that wait; and the totals. Of
 * several helpers, each so. Only members of the file, and their sets; NULL: all. */
json_t *sources_json(const struct sources *sources, const struct file_id *file);

json_t *lease_json(const struct fdset_lease_info *lease);

/* The leases of members of the file, and whose they are. */
json_t *holders_json(const struct sources *sources, const struct file_id *file);

/* The first set, and the opens that wait. */
json_t *listing_set_json(const struct fdset_listing *listing);

json_t *endpoints_json(const struct fdset_listing *listing);
json_t *totals_json(const struct fdset_totals *totals);
json_t *sandbox_json(const struct fdset_listing *listing);

/* The words of open(2) flags, without the access mode. */
json_t *flags_json(int flags);

/* Prints `value`, which may be NULL after a lack of memory, and frees it: as
 * people read it, or in one line. */
void json_print(json_t *value);
void json_print_line(json_t *value);

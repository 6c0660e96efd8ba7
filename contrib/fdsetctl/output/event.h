/* SPDX-License-Identifier: MIT */
/* Events in words. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include <fdset/manager.h>

/* Reads kinds with commas between, as "added,wanted", into their bits. */
bool kinds_parse(const char *text, uint32_t *kinds);

/* The bits of all kinds. */
uint32_t kinds_all(void);

/* Their names, with commas between. */
const char *kinds_text(void);

/* An event, and what we know beside it; NULL for what we do not. */
struct told {
    const struct fdset_event *event;
    const char *set_name;
    const char *vm;
};

/* Are these columns, with commas between? And which there are. */
bool event_columns_valid(const char *columns);
const char *event_columns(void);

/* One line of such columns, with tabs between; "-" for what is absent. If events were
 * lost, a line that says so stands before it. */
void event_print(const struct told *told, const char *columns);

/* Every field that the event has, as it was told, by its name in the journal. */
void event_fields(const struct told *told, void (*each)(const char *name, const char *value));

/* All that the event has; what its kind has not is null. */
json_t *event_json(const struct told *told);

/* Events as entries of the journal, by its native protocol. */
#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/* Connects to the journal at `path`, or ends the program where it is not there. */
void journal_open(const char *path);
void journal_send(const struct told *told);

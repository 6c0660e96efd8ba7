/* SPDX-License-Identifier: MIT */
/* The commands that only the relay has. */
#pragma once

#include "link-private.h"

/* Events that the emulator's sets follow, and those that clients can be told of. */
#define EVENTS_MIRRORED (FDSET_EVENT_BIT(FDSET_EVENT_ADDED) | FDSET_EVENT_BIT(FDSET_EVENT_REMOVED))
#define EVENTS_TOLD                                                              \
    (FDSET_EVENT_BIT(FDSET_EVENT_WANTED) | FDSET_EVENT_BIT(FDSET_EVENT_CLOSED) | \
     FDSET_EVENT_BIT(FDSET_EVENT_DENIED))

/* The commands that only the relay has: done() at once or later, with the answer. */
bool question_leases(struct qmp_link *link, struct qmp_command *command, json_t *json);
bool question_events(struct qmp_link *link, struct qmp_command *command, json_t *json);

/* What query-commands and query-qmp-schema say of them. */
void answered_commands(struct qmp_link *link, struct span message, const struct envelope *reply);
void answered_schema(struct qmp_link *link, struct span message, const struct envelope *reply);

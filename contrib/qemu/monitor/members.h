/* SPDX-License-Identifier: MIT */
/* add-fd, remove-fd and query-fdsets: what the emulator and the helper do both. */
#pragma once

#include "link-private.h"

/* Begins what an add-fd or remove-fd asks: it is passed on to the emulator, and the link is busy
 * until it is answered. An add-fd may be put to the helper before, with members_add_early(). */
void members_add_early(struct qmp_link *link, struct qmp_command *command);
bool members_add(struct qmp_link *link, struct qmp_command *command, json_t *json);
bool members_remove(struct qmp_link *link, struct qmp_command *command, json_t *json);

/* Passes on a query-fdsets, and from its answer leaves out what a client need not know. */
bool members_query(struct qmp_link *link, struct qmp_command *command, json_t *json);

/* The emulator has got a portal that is bound; or let go of one. */
void members_at(struct relay *relay, int number, int set, uint32_t member, bool hidden);
void members_closed(struct relay *relay, int number, int set, uint32_t member);

void adding_abandon(struct add_command *adding);
void members_abandon(struct qmp_link *link);

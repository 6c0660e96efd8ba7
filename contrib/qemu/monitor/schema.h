/* SPDX-License-Identifier: MIT */
/* What query-qmp-schema says of the commands that the relay brings. */
#pragma once

#include "text.h"

/* Appends the entries for the command with this name of fdset-commands.h, and for
 * the types and events that belong to it, as they stand in a JSON array. */
void schema_append(const char *command, struct text *to);

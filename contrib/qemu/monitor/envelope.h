/* SPDX-License-Identifier: MIT */
/* The outermost object of a QMP message: where its members are. Only for
 * PIECE_MESSAGE of framing.h. */
#pragma once

#include "text.h"

/* Each as it is written in the message, without white space around it; NULL
 * where it is absent. */
struct envelope {
    struct span execute, exec_oob, arguments, id; /* of a command */
    struct span returned, error;                  /* of a reply */
};

/* False where the message is not well-formed, or has a member twice. Nested
 * values are not looked into. */
bool envelope_read(struct span message, struct envelope *envelope);

/* Is the JSON string `raw`, quotes included, this text of ASCII? */
bool string_is(struct span raw, const char *text);

/* Appends `json` as other readers than QEMU's understand it: in double quotes,
 * and on one line. */
void json_normalise(struct span json, struct text *to);

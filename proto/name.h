/* SPDX-License-Identifier: MIT */
/* What a set may be called, and which text may be shown. Both sides ask here. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "fdset/limits.h"

/* "/dev/fdset/" and an id or a name, with its end. */
#define SET_PATH_PREFIX "/dev/fdset/"
#define SET_PATH_BYTES  (sizeof(SET_PATH_PREFIX) + FDSET_MAX_SET_NAME_BYTES)

bool set_name_is_valid(const char *name);

/* The length of the character of UTF-8 that `text` begins with, 1 to 4; 0 where it begins
 * with none, or is at its end. */
size_t character_length(const char *text);

/* Copies `from`, with '?' for each byte that cannot be shown: one that is no UTF-8, or of a
 * character that would do something to a terminal or to the text around it rather than be
 * seen (a control, an end of a line or paragraph, a mark that changes the direction of
 * writing). What does not fit into `size`, at least 4, is cut off, and "..." says so. `to`
 * may be `from`. */
void show_text(char *to, size_t size, const char *from);

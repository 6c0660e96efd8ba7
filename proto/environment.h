/* SPDX-License-Identifier: MIT */
/* What a helper inherits of the environment of who starts it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Is this "NAME=value" meant for another process: a library that is preloaded into an emulator,
 * or somebody's own conversation with the service manager? A helper is not to see it. */
bool environment_is_private(const char *variable);

/* The next word of $FDSET_HELPER_OPTIONS, which have blanks between them: where it begins and,
 * into `length`, how long it is; NULL after the last. `*text`, which may be NULL, is behind it
 * then. */
const char *environment_word(const char **text, size_t *length);

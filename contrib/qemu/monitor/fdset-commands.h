/* SPDX-License-Identifier: MIT */
/* The commands that the helper answers, with QEMU's names, replies and errors:
 * add-fd, remove-fd, query-fdsets; and those that QEMU does not have. */
#pragma once

#include "helper.h"
#include "text.h"

struct fdset_command;

/* The command with this name, a JSON string; NULL: it is not one of these. */
const struct fdset_command *fdset_command_find(struct span name);

/* Does it take the descriptor that came with or before it? */
bool fdset_command_takes_descriptor(const struct fdset_command *command);

/* Reads the arguments (NULL: none were given). NULL with QEMU's words in `error`. */
struct job *fdset_command_job(const struct fdset_command *command, json_t *arguments, char *error,
                              size_t size);

/* The commands' names, to be listed by query-commands; NULL at the end. */
const char *fdset_command_name(size_t index);

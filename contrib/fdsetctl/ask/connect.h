/* SPDX-License-Identifier: MIT */
/* How fdsetctl finds and reaches a helper. */
#pragma once

#include <stdint.h>

#include <fdset/manager.h>

#include "base/options.h"

/* The path of --socket, or of $FDSET_MANAGE_SOCKET; NULL or empty where neither says one. */
const char *socket_path(const struct verb_line *line);

/* Connects to the helper there as `owner`, a label or NULL, and waits for it as long as --wait
 * says. Ends the program where it cannot. */
struct fdset_manager *manager_connect(const struct verb_line *line, const char *owner);

/* What the virtual machine is called whose helper's socket that is: as the socket is, without
 * "manage", "observe" and ".sock", or, if that is all, as its directory. The caller's to free;
 * NULL where nothing tells, or `socket` is NULL. */
char *vm_name(const char *socket);

/* Of a call that fails with EAGAIN. */
#define NO_ANSWER "fdset-helper does not answer"

/* Connects to the helper at `path` as `owner`, a label or NULL. It fails where that takes
 * longer than so many milliseconds, as do calls that wait so long for an answer then; 0
 * is for ever. Returns 0, or -errno and why: in words that last until the next call. */
int helper_connect(struct fdset_manager **manager, const char *path, const char *owner,
                   uint32_t milliseconds, const char **why);

/* SPDX-License-Identifier: MIT */
/* How fdsetctl finds and reaches a helper. */
#pragma once

#include <stdint.h>

#include <fdset/manager.h>

/* Reads the argument of --wait, or NULL, or ends the program as usage_error() does. */
void wait_read(const char *name, const char *argument);

/* What the virtual machine is called whose helper's socket that is, or
 * $FDSET_MANAGE_SOCKET where it is NULL: as the socket is, without "manage", "observe"
 * and ".sock", or, if that is all, as its directory. The caller's to free; NULL where
 * nothing tells. */
char *vm_name(const char *socket);

/* Of a call that fails with EAGAIN. */
#define NO_ANSWER "fdset-helper does not answer"

/* Connects to the helper at `path` as `owner`, a label or NULL. It fails where that takes
 * longer than so many milliseconds, as do calls that wait so long for an answer then; 0
 * is for ever. Returns 0, or -errno and why: in words that last until the next call. */
int helper_connect(struct fdset_manager **manager, const char *path, const char *owner,
                   uint64_t milliseconds, const char **why);

/* SPDX-License-Identifier: MIT */
/* The portals that QEMU's own sets hold: QEMU asks for a member's flags, and duplicates the
 * member for whoever opens the set. Here that is an open at the helper. */
#pragma once

#include "preload.h"

/* `fd` has come by a monitor: it may be one. */
void portals_received(int fd);

/* Is it one of ours? Then `*result` is F_GETFL's answer, */
bool portals_get_flags(int fd, int *result);

/* or a duplicate, of the lowest number from `lowest` on. Or it is one that stands in
 * the place of an -add-fd's, of which QEMU makes the member. -1 with errno. */
bool portals_duplicate(int fd, int lowest, bool close_on_exec, int *result);

/* `copy` is a duplicate of `fd` by other means. */
void portals_copied(int fd, int copy);

/* `fd`, which is one, is about to be closed. */
void portals_end(int fd);

/* SPDX-License-Identifier: MIT */
/* --ready-fd: one line for whoever started the helper, as soon as it serves. */
#pragma once

/* Prepares to write to `fd`, which it consumes (standard output stays open). Returns a
 * socket for ready_say(), or -errno. */
int ready_prepare(int fd);

/* Has the line written and the descriptor closed. If the helper ends without it, the
 * descriptor is closed and nothing is written. Consumes the socket; -1 is none. Returns 0
 * or -errno. */
int ready_say(int socket);

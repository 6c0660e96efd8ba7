/* SPDX-License-Identifier: MIT */
/* A monitor's two ends: management's and the emulator's. */
#pragma once

#include <stdbool.h>

#include "monitor.h"
#include "qemu_opts.h"

/* Can this socket be relayed? If not, `why` says why. */
bool socket_is_known(const struct pairs *pairs, const char **why);

/* Management's end, which the emulator would have made. Dies where it would. */
struct address socket_make(const struct pairs *pairs, const char *option);

/* A listening socket for the emulator, that has no name any more: whoever has
 * `*handle`, an O_PATH descriptor of its file, can connect to it through
 * /proc/self/fd. */
int socket_make_private(int *handle);

/* A connected one, and its other end. */
int socket_make_connected(int *other);

/* A socket in the place of standard input and output: a process copies between
 * them until the socket's end. */
int pump_start(void);

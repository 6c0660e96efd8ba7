/* SPDX-License-Identifier: MIT */
/* Attaching to a restarted helper: <fdset/reconnect.h>. */
#pragma once

#include "wire/connection.h"

/* Turns reconnecting on, or, with NULL, off. */
int connection_set_reconnect(struct connection *connection, const struct fdset_reconnect *plan);

/* With the lock held, for a connection that is broken: goes on with what is to be done, or
 * waits until there is something to do, for `until` at most. Returns as pump(). */
int reconnect(struct connection *connection, const struct timespec *until);

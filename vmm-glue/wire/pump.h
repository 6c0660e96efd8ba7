/* SPDX-License-Identifier: MIT */
/* A thread waits for something to come. With the connection's lock held. */
#pragma once

#include "wire/connection.h"

/* Waits for `until` (CLOCK_MONOTONIC; NULL: for ever) or until a packet has
 * come, whoever read it, or until something has changed by reconnecting. Returns 1 if
 * something may have changed, 0 where the time is over, or -errno (said) where the
 * connection is. `turns`, 0 at first, counts the calls for one thing: also where something comes
 * without end, the time is over some day. */
int pump(struct connection *connection, const struct timespec *until, unsigned *turns);

/* The same while the socket is full: or until there is room. Takes in what comes meanwhile,
 * which may be another request's failure; fdset_error_text() stays as it is. */
int pump_for_room(struct connection *connection, const struct timespec *until);

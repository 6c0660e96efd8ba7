/* SPDX-License-Identifier: MIT */
/* What is given to those who poll. With the connection's lock held, but for the first. */
#pragma once

#include "wire/connection.h"

/* The descriptor to poll, made when it is first asked for, or -errno. */
int connection_poll_fd(struct connection *connection);

/* To be called after any change to `unsent`, `done`, `full` and `has_events`: decides
 * whether there is something for who polls. Nothing else does. */
void poll_changed(struct connection *connection);

/* Sets the alarm by what is so now. */
void poll_set_alarm(struct connection *connection);

/* Polls the socket, or not while it leads nowhere. */
void poll_socket(struct connection *connection, bool wanted);

/* Does it lead somewhere? One that is over for good tells just that. */
bool poll_wants_socket(const struct connection *connection);

/* When to connect anew: the times of <fdset/reconnect.h>. */

/* The connection has broken: the first attempt may be made now. */
void schedule_begin(struct connection *connection);

/* An attempt is made, and has failed. `given_up` may be set by that. */
void schedule_attempt(struct reconnecting *link);
void schedule_next(struct reconnecting *link);

/* Gets the plan with the defaults filled in; NULL: none. */
void schedule_plan(struct reconnecting *link, const struct fdset_reconnect *plan);

bool time_is_before(const struct timespec *one, const struct timespec *other);
bool time_is_over(const struct timespec *point);

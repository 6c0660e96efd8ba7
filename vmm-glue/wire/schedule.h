/* SPDX-License-Identifier: MIT */
/* When to connect anew: the times of <fdset/reconnect.h>. With the connection's lock held. */
#pragma once

#include "wire/connection.h"

/* The connection has broken: the first attempt may be made now. */
void schedule_begin(struct connection *connection);

/* An attempt is made, and has failed. `given_up` may be set by that. */
void schedule_attempt(struct reconnecting *link);
void schedule_next(struct reconnecting *link);

/* Gets the plan with the defaults filled in; NULL: none. */
void schedule_plan(struct reconnecting *link, const struct fdset_reconnect *plan);

bool time_is_before(const struct timespec *one, const struct timespec *other);
bool time_is_over(const struct timespec *point);

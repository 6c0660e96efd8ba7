/* SPDX-License-Identifier: MIT */
/* Requests that no thread waits for: struct submitted. Whoever reads a reply keeps what came,
 * and who dispatches gives it out. */
#pragma once

#include "wire/connection.h"

/* Sends one, or puts it among the unsent where there is no room. It is the connection's until
 * it is given out; after a failure, which is that there is no connection, the caller's. */
int request_submit(struct connection *connection, struct submitted *request);

/* With the lock held. Notes that it has failed, with this text; and that it is done, so that
 * it is given out. */
void request_fail(struct submitted *request, int error, const char *text);
void request_done(struct connection *connection, struct submitted *request);

/* Says what request_fail() has noted. */
int request_say_failure(const struct submitted *request);

/* Sends what was submitted, waits up to `timeout_ms` (-1: for ever) for outcomes and gives out
 * those that are there. Returns how many, or -errno where the connection is over and all have
 * been given. */
int requests_dispatch(struct connection *connection, int timeout_ms);

/* Ends the connection for good and gives out all outcomes, those still to come as -ECANCELED. */
void requests_cancel(struct connection *connection);

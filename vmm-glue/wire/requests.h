/* SPDX-License-Identifier: MIT */
/* What is asked of the helper, and waited for. */
#pragma once

#include "wire/connection.h"

/* --------------------------------------- a thread waits, with the lock held */

/* Waits for `until` (CLOCK_MONOTONIC; NULL: for ever) or until a packet has
 * come, whoever read it, or until something has changed by reconnecting. Returns 1 if
 * something may have changed, 0 where the time is over, or -errno (said) where the
 * connection is. `turns`, 0 at first, counts the calls for one thing: also where something comes
 * without end, the time is over some day. */
int pump(struct connection *connection, const struct timespec *until, unsigned *turns);

/* ------------------------------------------ requests that a thread waits for */

/* Sends `request` with `count` descriptors, which it borrows, and waits for the
 * reply, which must be of kind `expected`. The reply and its descriptors are in
 * the connection's buffers until reply_release(), which must follow soon:
 * until then no thread receives. After a failure there is nothing to release. -EOPNOTSUPP where
 * the helper does not know such a request, which is one that goes beyond version 1. */
int connection_call(struct connection *connection, Fdset__V1__Request *request,
                    const int *descriptors, size_t count, Fdset__V1__Reply__BodyCase expected);

/* With the lock held: the same with the helper that there is, and no other, and without a look
 * at the reply. `unsent` is set if the helper cannot have seen it. */
int request_exchange(struct connection *connection, Fdset__V1__Request *request,
                     const int *descriptors, size_t count, bool *unsent);

/* With the lock held: the same as request_send(), but waits for room. */
int request_send_patiently(struct connection *connection, Fdset__V1__Request *request,
                           const int *descriptors, size_t count, struct waiter *waiter);

/* Requests that no thread waits for: struct submitted. Whoever reads a reply keeps what came,
 * and who dispatches gives it out. */

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

/* SPDX-License-Identifier: MIT */
/* A packet goes. With the connection's lock held, which is what keeps a packet for one helper
 * from going to the next. */
#pragma once

#include "wire/connection.h"

/* Sends what was submitted before, and then `request` with `count` descriptors, which it
 * borrows. The reply will find `waiter`: nobody can read it before the lock is given back.
 * Where it is NULL none is asked for. Does not wait: -EAGAIN where the socket is full. Where
 * the helper has gone, that is a reply which does not come: `unsent` is set, and 0 returned.
 * Returns 0 or -errno; nothing said. */
int request_send(struct connection *connection, Fdset__V1__Request *request, const int *descriptors,
                 size_t count, struct waiter *waiter);

/* Sends what was submitted, as far as there is room. Returns 0, or -EAGAIN where that is not
 * all. What cannot be sent, but for want of room, has failed. */
int unsent_send(struct connection *connection);

/* Appends one. It goes before any other request, or when a thread dispatches. */
void unsent_put(struct connection *connection, struct submitted *request);

/* Says why one was not sent. */
int send_error(int error);

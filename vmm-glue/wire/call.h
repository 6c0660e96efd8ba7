/* SPDX-License-Identifier: MIT */
/* Requests that a thread waits for. */
#pragma once

#include "wire/connection.h"

/* Sends `request` with `count` descriptors, which it borrows, and waits for the
 * reply, which must be of kind `expected`. The reply and its descriptors are in
 * the connection's buffers until reply_release(), which must follow soon:
 * until then no thread receives. After a failure there is nothing to release. */
int connection_call(struct connection *connection, Fdset__V1__Request *request,
                    const int *descriptors, size_t count, Fdset__V1__Reply__BodyCase expected);

/* With the lock held: the same with the helper that there is, and no other, and without a look
 * at the reply. `unsent` is set if the helper cannot have seen it. */
int request_exchange(struct connection *connection, Fdset__V1__Request *request,
                     const int *descriptors, size_t count, bool *unsent);

/* With the lock held: the same as request_send(), but waits for room. */
int request_send_patiently(struct connection *connection, Fdset__V1__Request *request,
                           const int *descriptors, size_t count, struct waiter *waiter);

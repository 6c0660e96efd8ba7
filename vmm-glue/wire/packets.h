/* SPDX-License-Identifier: MIT */
/* Packets go, and come, and go to whom they are for. With the connection's lock held, which is
 * what keeps a packet for one helper from going to the next; but for what is done with the
 * buffers. */
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

/* --------------------------------------------------------------- receiving */

/* Waits for `until` (CLOCK_MONOTONIC; NULL: for ever) or until something comes, and reads it.
 * The buffers must be free. Returns 0 where the time is over, else 1. */
int receive_until(struct connection *connection, const struct timespec *until);

/* Waits for the reply to this one. Where that returns 0 it is in the buffers, which are the
 * caller's. */
int receive_reply(struct connection *connection, struct waiter *waiter);

/* Reads what has come already, while somebody waits for more than that. */
void receive_waiting(struct connection *connection);

/* Ends the connection for good: everything under way fails with -ECANCELED. */
void receive_cancel(struct connection *connection);

/* ------------------------------------------------ for who has the buffers */

/* Is it of the kind that was asked for? An Error from the helper is a failure, with the
 * helper's number and text. */
int reply_check(const struct connection *connection, Fdset__V1__Reply__BodyCase expected);

/* Did all `expected` descriptors come with the reply? If so the caller may
 * packet_descriptors_take() them. */
int reply_check_descriptors(const struct connection *connection, size_t expected);

/* Without the lock: closes the descriptors that were not taken and lets the next thread
 * receive. */
void reply_release(struct connection *connection);

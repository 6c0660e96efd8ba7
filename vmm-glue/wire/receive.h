/* SPDX-License-Identifier: MIT */
/* A packet comes, and goes to whom it is for. With the connection's lock held, but for
 * what is done with the buffers. */
#pragma once

#include "wire/connection.h"

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

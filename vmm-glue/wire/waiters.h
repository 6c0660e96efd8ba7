/* SPDX-License-Identifier: MIT */
/* Who waits for what the helper sends, and how threads wait for each other. All with the
 * connection's lock held. */
#pragma once

#include "wire/connection.h"

/* Enters a waiter, whose request is on its way. */
void waiter_put(struct connection *connection, struct waiter *waiter);

/* Takes the waiter with this serial out of the list. NULL where there is none. */
struct waiter *waiter_take(struct connection *connection, uint32_t serial);

/* Until it is woken: its reply is there, or nobody reads any more. */
void waiter_sleep(struct connection *connection, struct waiter *waiter);

/* Somebody else reads, or reconnects: waits until that brings something, or for `until`
 * (CLOCK_MONOTONIC; NULL: for ever). Returns 0 where that time is over, else 1. */
int waiters_wait(struct connection *connection, const struct timespec *until);

/* Wakes all that wait so, to look whether what came was for them. */
void waiters_wake(struct connection *connection);

/* No reply will come to any of those in the list, but for those of waiters_wait(). */
void waiters_fail(struct connection *connection, int error);

/* To be called by who has read and does not go on: another thread may have been waiting
 * for it to read. */
void waiters_pass_on(struct connection *connection);

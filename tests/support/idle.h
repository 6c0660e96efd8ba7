/* SPDX-License-Identifier: MIT */
/* Sets that live for a moment after their last use. Whether one still lives when it could have
 * ended is told by the whole life of another, and not by a clock. */
#pragma once

#include "events.h"

/* The test's disk as a set that ends `idle_ms` after its last lease. */
void add_idle(struct helper *helper, int set, uint32_t idle_ms);

/* An open of set 1, with 1 ms to live, that is certain to come in time: it is
 * there before the set. */
struct opened open_in_time(struct helper *helper);

/* A whole life of set 2 with 1 ms, in which set 1 could have ended. */
void let_time_pass(struct helper *helper, struct subscriber *events);

/* Set 1 ends. */
void expect_end(struct subscriber *events);

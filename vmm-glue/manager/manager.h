/* SPDX-License-Identifier: MIT */
/* The inside of a manager's object, and what is asked by it. */
#pragma once

#include <fdset/manager.h>

#include "wire/connection.h"

struct fdset_manager {
    struct connection connection; /* first: its functions are given the one for the other */

    /* Events that have come and were not asked for yet, a ring; guarded by the
     * connection's lock. NULL before the first subscription. */
    struct fdset_event *events;
    size_t first_event, event_count;
    uint64_t lost; /* before the next to come */

    /* What was subscribed to, for a new connection; changed by who has the buffers. */
    bool subscribed;
    uint32_t kinds;
};

/* What is asked of the helper, waiting for the answer or not. On the heap: the first member of
 * what has all that the request points to. */
struct question {
    struct submitted request; /* first */
    struct fdset_manager *manager;
    Fdset__V1__Request message;
    Fdset__V1__Reply__BodyCase expected;
    const int *descriptors;
    size_t descriptor_count;

    /* Takes the answer out of the buffers. Returns what the call returns, 0 or more or -errno
     * and has said why; or QUESTION_GOES_ON where `message` is to be asked now. */
    int (*read)(struct question *question, const Fdset__V1__Reply *reply);
#define QUESTION_GOES_ON (-10000)

    /* Called with what the call returns. May be NULL. */
    int (*end)(struct question *question, int result);

    int result;
    fdset_done_function done;
    void *context;
};

/* A question of `size` bytes, whose `message` has this body yet to be pointed to; `result` may
 * get a failure of that, which is said. NULL: no memory. */
void *question_new(struct fdset_manager *manager, size_t size, Fdset__V1__Request__BodyCase body,
                   Fdset__V1__Reply__BodyCase expected,
                   int (*read)(struct question *, const Fdset__V1__Reply *));

/* Asks, and gives out the outcome by `done`; where that is NULL, waits and returns it. Consumes
 * the question, which may be NULL: no memory. */
int question_put(struct question *question, fdset_done_function done, void *context);

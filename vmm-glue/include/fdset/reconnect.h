/* SPDX-License-Identifier: MIT */
/* libfdset: what a connection does when its helper has gone and may come back.
 * Included by <fdset/vmm.h> and <fdset/manager.h>. */
#pragma once

#include <stddef.h>

/* How things stand, as told to fdset_reconnect.state. */
enum fdset_link {
    FDSET_LINK_UP = 1,   /* connected again, to a helper that has no sets yet */
    FDSET_LINK_DOWN,     /* the helper has gone: attempts begin */
    FDSET_LINK_GIVEN_UP, /* give_up_ms are over; a later call may begin again */
};

/* For objects that attached by a path. The library has no thread for this: the next call that
 * needs the helper makes the first attempt, or a thread that dispatches or waits for events.
 * The pauses between attempts are first_ms, twice that, and so on, up to most_ms. Calls wait
 * for the attempts. After give_up_ms the attempts end, and calls fail with -ECONNRESET at once,
 * until a call most_ms later begins again. An attempt fails if the helper does not answer
 * within a second: to the Hello, and, if a manager had subscribed, to the Subscribe. A thread
 * that dispatches or asks for events does not wait for longer than its timeout: the next call
 * goes on with the attempt.
 *
 * A field that is 0 means its default. */
struct fdset_reconnect {
    size_t size;         /* of this structure, or 0: libfdset(3) */
    unsigned first_ms;   /* 100 */
    unsigned most_ms;    /* 5000 */
    unsigned give_up_ms; /* 30000 */

    /* Is called at every change, in order, from within the call that makes the attempts: first
     * DOWN, once, then GIVEN_UP each time that happens, and UP. `text` says why, for people.
     * The function must not use the object, but may close descriptors. NULL: no function is
     * called. */
    void (*state)(void *context, enum fdset_link link, const char *text);
    void *context;
};

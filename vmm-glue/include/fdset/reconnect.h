/* SPDX-License-Identifier: MIT */
/* libfdset: what a connection does when its helper has gone and may come back.
 * Included by <fdset/vmm.h> and <fdset/manager.h>. */
#pragma once

#include <stddef.h>

/* How things stand, as told to fdset_reconnect.state. */
enum fdset_link {
    FDSET_LINK_UP = 1,   /* connected anew, to a helper that knows nothing of before */
    FDSET_LINK_DOWN,     /* the helper has gone: attempts begin */
    FDSET_LINK_GIVEN_UP, /* give_up_ms of them are over; there may be more, later */
};

/* For objects that attached by a path. There is no thread behind this: the first
 * attempt is made by the next call that needs the helper, or by a thread that
 * dispatches or waits for events. Attempts come first_ms, then twice that and so
 * on apart, at most most_ms. Calls wait for them. After give_up_ms they stop, and
 * calls fail with -ECONNRESET at once, until most_ms later a call begins again. An
 * attempt fails if the helper does not answer within a second: to its Hello, and, where a
 * manager had subscribed, to that. A thread that dispatches or asks for events does not wait
 * for longer than its timeout: the next one goes on where it has left off.
 *
 * A field that is 0 means its default. */
struct fdset_reconnect {
    size_t size;         /* of this structure, or 0: libfdset(3) */
    unsigned first_ms;   /* 100 */
    unsigned most_ms;    /* 5000 */
    unsigned give_up_ms; /* 30000 */

    /* Told of every change, in order, from within the call that makes the
     * attempts: DOWN first, once, then GIVEN_UP as often as that happens, and UP.
     * `text` says why, for people. It must not use the object, but may close
     * descriptors. NULL: nobody is told. */
    void (*state)(void *context, enum fdset_link link, const char *text);
    void *context;
};

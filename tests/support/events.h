/* SPDX-License-Identifier: MIT */
/* What a client that subscribes hears. */
#pragma once

#include "harness.h"

/* The first hears of everything from here on; the second returns the next event
 * of this kind, and passes over others. */
void client_subscribe(struct client *client);
const Event *client_event(struct client *client, int kind);

/* A connection that does nothing but listen. */
struct subscriber {
    struct client *client;
    Fdset__V1__Events *batch; /* the last that came, or NULL */
    size_t next;              /* in it */
    uint64_t lost;            /* that it was told of, ever */
    uint64_t sequence;        /* of the last event, 0 before the first */
};

/* Connects as an observer and subscribes: to the `count` kinds, the usual ones
 * with 0, or all with ALL_KINDS. */
#define ALL_KINDS SIZE_MAX
struct subscriber subscriber_begin(struct helper *helper, const int *kinds, size_t count);

/* To what ends sets. A set goes when its last member is closed, which may take a while: the
 * order in which lifetimes end is that of the removals. */
struct subscriber subscriber_of_ends(struct helper *helper);

/* Asks only; the reply is to be looked at. */
Reply *client_subscribe_to(struct client *client, const int *kinds, size_t count);

/* The next event, which must come. Lives until the one after it. */
Event *event_next(struct subscriber *subscriber);

/* The next event, which must be of this kind; of this kind and set. */
Event *event_expect(struct subscriber *subscriber, int kind);
Event *event_expect_of(struct subscriber *subscriber, int kind, int set);

/* Passes over others until one of this kind and set comes. */
Event *event_await(struct subscriber *subscriber, int kind, int set);

/* No event is on its way: all that has happened so far has been told. */
void event_expect_none(struct helper *helper, struct subscriber *subscriber);

/* SPDX-License-Identifier: MIT */
/* Events on their way to those who subscribed: a queue of bounded length for
 * each. One that does not read loses events, is told how many, and holds
 * nobody up. */
#pragma once

#include "connection/session.h"
#include "model/event.h"

struct service;

struct event_queue {
    struct list link;   /* in subscriptions.unsent, where it has events that its session takes */
    struct list in_all; /* in subscriptions.all */
    struct session *session;
    uint32_t kinds; /* bit N: enum event_kind N */
    uint32_t first, count;
    uint64_t lost;         /* between the last event sent and the first queued */
    struct event events[]; /* limits.events, used as a ring */
};

struct subscriptions {
    struct slab slab;
    struct list all;
    struct list unsent;
    uint64_t lost; /* ever */
};

/* Takes all memory that `limits` can need. Returns 0 or -errno. */
int subscriptions_init(struct subscriptions *subscriptions, const struct limits *limits);

/* Subscribes a session, or changes what it hears of. 0 kinds: the usual ones. */
void subscribe(struct service *service, struct session *session, uint32_t kinds);
void unsubscribe(struct service *service, struct session *session);

/* Notes in an event that a lease is in the way: its number, 0 for none. */
void event_note_holder(struct service *service, struct event *event, uint64_t lease);

/* Says to subscribers what happened, and by which session. The model's events come by
 * themselves. */
void service_tell(struct service *service, struct event *event);
void service_tell_session(struct service *service, struct event *event,
                          const struct session *session);

/* Sends what is queued, as far as the sockets take it. */
void subscriptions_flush(struct service *service);

/* The session takes again: what is queued for it goes out. */
void subscription_resume(struct session *session);

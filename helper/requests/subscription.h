/* SPDX-License-Identifier: MIT */
/* Events on their way to those who subscribed: a queue of bounded length for
 * each. One that does not read loses events, is told how many, and holds
 * nobody up. */
#pragma once

#include "connection/session.h"
#include "model/event.h"

struct subscription {
    uint32_t kinds; /* bit N: enum event_kind N */
    uint32_t first, count;
    uint64_t lost;         /* between the last event sent and the first queued */
    struct event events[]; /* service.limits.events, used as a ring */
};

/* Bytes of one with room for so many events. */
size_t subscription_bytes(uint32_t events);

/* Subscribes a session, or changes what it hears of. 0 kinds: the usual ones. */
void subscribe(struct session *session, uint32_t kinds);
void unsubscribe(struct session *session);

/* Sends what is queued, as far as the sockets take it. */
void subscriptions_flush(struct service *service);

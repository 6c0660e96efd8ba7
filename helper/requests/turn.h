/* SPDX-License-Identifier: MIT */
/* A turn of the loop: who has sent something is served, who takes again gets what was kept
 * back, who has gone is done with, and what is due in time or has become possible is done. */
#pragma once

#include "requests/state.h"

/* Takes all memory. Returns 0 or -errno. */
int service_init(struct service *service, const struct limits *limits);

/* Ends all that the session has, and hangs up. The object lives until turn_end(). */
void session_end(struct session *session);

/* Ends the sessions whose peer was found gone in this turn of the loop, and
 * frees those that have ended. */
void turn_end(struct service *service);

/* Tries again to send what time alone lets through. */
void turn_resend(struct service *service);

/* Hangs up on those who have not said Hello in time, or do not read what they have asked for. */
void turn_lose_patience(struct service *service);

/* Whether there is something to do at once. */
static inline bool follow_up_due(const struct service *service) {
    return !list_empty(&service->model.unsettled) || !list_empty(&service->model.changed) ||
           !list_empty(&service->deferrals.ready) || !list_empty(&service->subscriptions.unsent);
}

/* Does it, in the order in which one thing leads to the next. */
void follow_up_now(struct service *service);

/* Asserts that every object taken is in use. For debug builds, and after each input
 * of a fuzzer. */
void service_check(const struct service *service);

/* To be called after anything has been done; after most opens there is nothing to do. */
static inline void follow_up(struct service *service) {
    if (follow_up_due(service))
        follow_up_now(service);
#ifdef CHECK_MODEL
    model_check(&service->model);
    service_check(service);
#endif
}

/* Lets the settle threads say what they have done: settle.h. */
void follow_up_settling(struct service *service);

/* To be called once a turn of the loop: does what is due in time. */
void timers_tick(struct service *service);

/* Milliseconds until timers_tick() must be called again, or -1. */
int timers_timeout(const struct service *service);

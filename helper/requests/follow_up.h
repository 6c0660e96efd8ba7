/* SPDX-License-Identifier: MIT */
/* What there is to do after anything has been done. */
#pragma once

#include "requests/state.h"

/* In the order in which one thing leads to the next. */
void follow_up(struct service *service);

/* Whether something has changed that an open may wait for. */
static inline bool waiting_due(const struct service *service) {
    return service->waits.seen != service->model.changes;
}

/* Whether there is something to do at once. */
static inline bool follow_up_due(const struct service *service) {
    return !list_empty(&service->model.unsettled) || waiting_due(service) ||
           !list_empty(&service->subscriptions.unsent);
}

/* Lets the settle threads say what they have done: settle.h. */
void follow_up_settling(struct service *service);

/* Asserts that every object taken is in use. For debug builds, and after each input
 * of a fuzzer. */
void service_check(const struct service *service);

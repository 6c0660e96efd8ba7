/* SPDX-License-Identifier: MIT */
/* What sets are called, for events, which have their numbers. */
#pragma once

#include <fdset/manager.h>

/* Asks what all are called. To be called once the events are subscribed to, with another
 * connection than theirs: while an answer is awaited events come in, and what nobody takes
 * is lost. */
void set_names_begin(struct fdset_manager *manager);

/* The name of the event's set, or NULL. It lasts until the next call. */
const char *set_name_of(struct fdset_manager *manager, const struct fdset_event *event);

/* SPDX-License-Identifier: MIT */
/* What is due in time. */
#pragma once

#include "requests/state.h"

/* To be called once a turn of the loop: does what is due in time. */
void timers_tick(struct service *service);

/* Milliseconds until timers_tick() must be called again, or -1. */
int timers_timeout(const struct service *service);

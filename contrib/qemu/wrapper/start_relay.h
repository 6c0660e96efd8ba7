/* SPDX-License-Identifier: MIT */
/* The relay, started. */
#pragma once

#include "relay.h"

/* Starts it and waits until it serves the monitors of `setup`, whose descriptors it takes
 * over. It ends when the other end of the pipe `lifeline` is closed. All borrowed. */
void relay_start(struct relay_setup *setup, int manage, int lifeline, int log);

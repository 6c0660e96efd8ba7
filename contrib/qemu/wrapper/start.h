/* SPDX-License-Identifier: MIT */
/* The helper and the relay, started. */
#pragma once

#include <fdset/manager.h>

#include "command-line.h"
#include "relay.h"

/* Starts the helper. Returns the emulator's connection to it; `*manage` is the
 * relay's and `*manager` our own. */
int helper_start(const struct own_options *own, int log, int *manage,
                 struct fdset_manager **manager);

/* Starts the relay and waits until it serves the monitors of `setup`, whose descriptors it
 * takes over. It ends when the other end of the pipe `lifeline` is closed. All borrowed. */
void relay_start(struct relay_setup *setup, int manage, int lifeline, int log);

/* SPDX-License-Identifier: MIT */
/* The helper and the proxy, started. */
#pragma once

#include <fdset/manager.h>

#include "command-line.h"
#include "monitors.h"

/* Starts the helper. Returns the emulator's connection to it; `*manage` is the
 * proxy's and `*manager` our own. */
int helper_start(const struct own_options *own, int log, int *manage,
                 struct fdset_manager **manager);

/* Starts the proxy and waits until it serves. It ends when the other end of the
 * pipe `lifeline` is closed. All borrowed. */
void proxy_start(const struct monitors *monitors, int manage, int lifeline, int log);

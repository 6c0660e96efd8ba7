/* SPDX-License-Identifier: MIT */
/* The helper, started. */
#pragma once

#include <fdset/manager.h>

#include "command-line.h"

/* Starts the helper. Returns the emulator's connection to it; `*manage` is the
 * relay's and `*manager` our own. */
int helper_start(const struct own_options *own, int log, int *manage,
                 struct fdset_manager **manager);

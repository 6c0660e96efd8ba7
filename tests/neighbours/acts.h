/* SPDX-License-Identifier: MIT */
/* The table of attacks on the helper's time, each by processes that do the same again and
 * again. */
#pragma once

#include "scene.h"

#define ATTACKS 23

extern const struct attack attacks[ATTACKS];

/* A helper with room for all of them. */
struct helper *acts_start(void);

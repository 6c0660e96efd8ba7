/* SPDX-License-Identifier: MIT */
/* The table of attacks on the helper's time, each by processes that do the same again and
 * again. */
#pragma once

#include "scene.h"

#define ATTACKS 25

extern const struct attack attacks[ATTACKS];

/* A helper with room for all of them. */
struct helper *acts_start(void);

/* Leases and waiting opens of the attackers' machine, as many as it gets; and a set with as many
 * members as there may be. */
void acts_fill_tables(struct helper *helper);
void acts_fill_all(struct helper *helper);

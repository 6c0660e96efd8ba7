/* SPDX-License-Identifier: MIT */
/* An open of a set, for those that truncate it as well. */
#pragma once

#include "path.h"

/* open(2) of a set. */
int set_open(const struct set_path *set, int flags);

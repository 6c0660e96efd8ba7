/* SPDX-License-Identifier: MIT */
/* Where the programs are. */
#pragma once

#include "command-line.h"

/* Dies where there is none. `called` is argv[0]. */
const char *place_of_emulator(const struct own_options *own, const char *called);
const char *place_of_helper(const struct own_options *own);
const char *place_of_preload(void);

/* Why the dynamic linker would not preload a library into this program: "is ..."; NULL
 * where nothing is known that hinders it. */
const char *library_hindrance(const char *path);

/* SPDX-License-Identifier: MIT */
/* The helper and the relay, started. */
#pragma once

#include "command-line.h"
#include "handover.h"

/* What the emulator is to have of them. */
struct start {
    int vmm;   /* its connection to the helper */
    int ready; /* a pipe: a newline when both serve; else why not, and its end */
};

/* Starts both. The relay hands `adds` over, and ends when nobody has the other end of `joint`
 * any more. Borrows all. */
struct start companions_start(const struct own_options *own, struct add_fds *adds, int joint,
                              bool waits, int log);

/* SPDX-License-Identifier: MIT */
/* What the filter must let through, a second time: written by hand from the
 * contract, in plain C and without a look at the table of rules, so that the two
 * can disagree. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "confine/confine.h"

#define REFERENCE_CALLS 13

struct reference_call {
    const char *name;
    int x86_64;
    int generic; /* aarch64 and riscv64 */
};

extern const struct reference_call reference_calls[REFERENCE_CALLS];

/* A call with its arguments as the filter sees them. */
struct attempt {
    const char *call;
    uint64_t arguments[6];
};

/* `direct` is the architecture's O_DIRECT. */
bool reference_allows(const struct confine_plan *plan, uint64_t direct,
                      const struct attempt *attempt);

/* One allowed attempt for each way of each call, all of them harmless and none
 * that waits. Returns how many there are. */
#define REFERENCE_MAX_EXAMPLES 64
size_t reference_examples(const struct confine_plan *plan, uint64_t direct,
                          struct attempt *examples);

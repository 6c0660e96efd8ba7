/* SPDX-License-Identifier: MIT */
/* What calls at the start may give, for the injector and for messages. */
#pragma once

#define START_ERRORS 5

struct start_call {
    int call;
    const char *name;
    int errors[START_ERRORS]; /* ended by 0 */
};

extern const struct start_call start_calls[];
extern const unsigned start_call_count;

/* NULL where it cannot fail, or only by a mistake of ours. */
const struct start_call *start_call_find(int call);

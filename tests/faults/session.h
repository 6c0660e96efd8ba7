/* SPDX-License-Identifier: MIT */
/* A scripted session with everything that a helper is asked for, by two VMMs, a
 * manager and an observer, each on a connection of its own. */
#pragma once

#include "harness.h"

/* What became of it at the worst. The rest of the script is then left out. */
enum fate {
    FATE_WELL,    /* everything was answered as it should be */
    FATE_REFUSED, /* a request was answered by an error */
    FATE_ENDED,   /* a connection was hung up */
};

struct outcome {
    enum fate fate;
    const char *step;
    char text[300]; /* why */
};

/* Opens what the script needs, once for each test. */
void session_prepare(void);

/* The unlocking itself fails; the second does it instead, afterwards. */
extern bool session_locks_may_stay;
void session_unlock(void);

/* Runs the script. A reply that is wrong, or of a wrong file, fails the test, and
 * so does one that does not come. `connected` (or NULL) is called when all have
 * said Hello. Everything has hung up when it returns. */
struct outcome session_run(struct helper *helper, void (*connected)(struct helper *helper));

/* What it has left is removed by the helper's first manager, and must be gone then. */
void session_clean(struct helper *helper);

/* The first manager and the first VMM are served. */
void session_expect_served(struct helper *helper);

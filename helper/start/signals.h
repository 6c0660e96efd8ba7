/* SPDX-License-Identifier: MIT */
/* The signals that end the helper: SIGTERM, SIGINT, SIGHUP, SIGQUIT, unless they were
 * ignored as it started. */
#pragma once

#include <stdbool.h>

#include "connection/loop.h"

struct signals {
    struct watch watch; /* fd owned */
    struct loop *loop;
    bool came; /* one of them did */
};

/* From here on they wait until signals_watch() is called. What would end or stop the helper
 * for what it writes is ignored. */
void signals_begin(void);

/* A spawned helper is in its VMM's session. Who leads that can have us sit at a
 * terminal of its own and type ^C or ^Z, also as a user who may not signal us. We end
 * with the VMM anyway. */
void signals_ignore_terminal(void);

/* Whether one waits. */
bool signals_wait(void);

/* Sets `came` in the loop as soon as one comes or has come; not those that are ignored by
 * now. No other signal is blocked any more. Returns 0 or -errno. */
int signals_watch(struct signals *signals, struct loop *loop);

/* SPDX-License-Identifier: MIT */
/* The closest peer, s6-fdholderd, through its own library: where both are installed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct peer {
    pid_t daemon;
    char directory[64]; /* of its rules and its socket */
    void *connection;
    size_t held;
};

/* Starts one that holds `held` copies of `fd`, which it borrows. False: it cannot be
 * done here, and `why` is set. */
bool peer_start(struct peer *peer, int fd, size_t held, const char **why);
void peer_stop(struct peer *peer);

/* ------------------------------------------------------ for take_turns(); context: the peer. */

struct contender;

/* One after the other of what it holds. Copies are closed after the round. */
void measure_peer_retrieve(struct contender *contender, double *samples, size_t count);

/* One more than it holds; deleted after each. */
void measure_peer_store(struct contender *contender, double *samples, size_t count);

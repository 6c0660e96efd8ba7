/* SPDX-License-Identifier: MIT */
/* A second helper of the same user as the harness's, with one set for its one victim. */
#pragma once

#include "harness.h"

struct other_helper {
    struct helper *beside;
    pid_t pid;
    struct client *victim, *manager; /* connections that it has inherited */
    struct client *attackers[64];
    int attacker_count;
    int disk;
};

/* Its connections are put away with those of the harness's helper. */
void other_helper_start(struct other_helper *other, struct helper *beside);
void other_helper_expect_served(struct other_helper *other);

/* So many connections, each with `packets` OpenMany of `opens`, that never read. They end with
 * the helper. */
void other_helper_hoard(struct other_helper *other, int connections, size_t opens, int packets);

/* Expects it to end with status 0 as its victim hangs up. */
void other_helper_end(struct other_helper *other);

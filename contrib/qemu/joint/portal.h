/* SPDX-License-Identifier: MIT */
/* A portal: what an emulator's own set holds in the place of a member. It is a file in memory
 * that says whose place it takes. The preload library knows it, answers for it as the member
 * would, and makes a duplicate of it an open at the helper. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct portal {
    int flags;       /* F_GETFL's answer: the member's */
    bool hidden;     /* stands for an open that waits, not for a member */
    bool bound;      /* what follows is known */
    int set;         /* in which an open of it is done; */
    uint32_t member; /* and whose place it takes; 0 where it is hidden */
};

/* A new one, close-on-exec; -errno. `flags` as in F_GETFL's answer. */
int portal_make(int flags, bool hidden);

/* Says whose place it takes, to all who have it or wait for that. Returns 0 or -errno. */
int portal_bind(int fd, int set, uint32_t member);

/* What it says. False where `fd`, borrowed, is anything else. */
bool portal_read(int fd, struct portal *portal);

/* The same, once it is bound: 0; -errno, -ETIMEDOUT where nobody does that. */
int portal_wait(int fd, unsigned milliseconds, struct portal *portal);

/* SPDX-License-Identifier: MIT */
/* Points in time, the next one first: a heap of fixed size, made at start. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Lives in its owner. Zeroed: not running. */
struct deadline {
    uint64_t due_ms;
    uint32_t place; /* in the heap, from 1; 0: not running */
};

struct deadlines {
    struct deadline **heap; /* from 1 */
    uint32_t count, room;
};

/* Room for `room` deadlines that run at once. Returns 0 or -ENOMEM. */
int deadlines_init(struct deadlines *deadlines, uint32_t room);
void deadlines_destroy(struct deadlines *deadlines);

/* Starts one, or moves one that runs. */
void deadline_start(struct deadlines *deadlines, struct deadline *deadline, uint64_t due_ms);

/* Stops one; one that does not run may be stopped. */
void deadline_stop(struct deadlines *deadlines, struct deadline *deadline);

/* The next one, or NULL. */
static inline struct deadline *deadlines_first(const struct deadlines *deadlines) {
    return deadlines->count ? deadlines->heap[1] : NULL;
}

/* The next one that is due by now, or NULL. */
static inline struct deadline *deadlines_due(const struct deadlines *deadlines, uint64_t now_ms) {
    struct deadline *first = deadlines_first(deadlines);

    return first && first->due_ms <= now_ms ? first : NULL;
}

static inline bool deadline_runs(const struct deadline *deadline) {
    return deadline->place != 0;
}

/* SPDX-License-Identifier: MIT */
/* A heap of points in time. */
#include "containers/deadline.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

#include "containers/slab.h"

static size_t heap_bytes(const struct deadlines *deadlines) {
    return ((size_t)deadlines->room + 1) * sizeof(struct deadline *);
}

int deadlines_init(struct deadlines *deadlines, uint32_t room) {
    *deadlines = (struct deadlines){.room = room};
    deadlines->heap = memory_map(heap_bytes(deadlines));
    return deadlines->heap ? 0 : -ENOMEM;
}

void deadlines_destroy(struct deadlines *deadlines) {
    if (deadlines->heap)
        munmap(deadlines->heap, heap_bytes(deadlines));
    *deadlines = (struct deadlines){0};
}

static void put(struct deadlines *deadlines, uint32_t place, struct deadline *deadline) {
    deadlines->heap[place] = deadline;
    deadline->place = place;
}

/* Puts `deadline` where it belongs, from `place` up or down. */
static void settle_in(struct deadlines *deadlines, uint32_t place, struct deadline *deadline) {
    while (place > 1 && deadlines->heap[place / 2]->due_ms > deadline->due_ms) {
        put(deadlines, place, deadlines->heap[place / 2]);
        place /= 2;
    }
    for (uint32_t child; (child = place * 2) <= deadlines->count; place = child) {
        if (child < deadlines->count &&
            deadlines->heap[child + 1]->due_ms < deadlines->heap[child]->due_ms)
            child++;
        if (deadlines->heap[child]->due_ms >= deadline->due_ms)
            break;
        put(deadlines, place, deadlines->heap[child]);
    }
    put(deadlines, place, deadline);
}

void deadline_start(struct deadlines *deadlines, struct deadline *deadline, uint64_t due_ms) {
    deadline->due_ms = due_ms;
    if (!deadline->place) {
        assert(deadlines->count < deadlines->room);
        put(deadlines, ++deadlines->count, deadline);
    }
    settle_in(deadlines, deadline->place, deadline);
}

void deadline_stop(struct deadlines *deadlines, struct deadline *deadline) {
    uint32_t place = deadline->place;

    if (!place)
        return;
    deadline->place = 0;
    struct deadline *last = deadlines->heap[deadlines->count--];
    if (last != deadline)
        settle_in(deadlines, place, last);
}

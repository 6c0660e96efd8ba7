/* Finds objects by id in constant time: an open-addressed table of fixed size,
 * made at start, never more than half full. Ids are mostly consecutive: so
 * neighbours share a page, but do not touch, which would make long runs that
 * index_drop() has to walk along. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define INDEX_NONE UINT32_MAX

struct index {
    struct index_entry {
        uint32_t id;
        uint32_t value_plus_one; /* 0: free, so that untouched pages are free entries */
    } * entries;
    uint32_t mask;
};

/* Room for `room` ids. Returns 0 or -ENOMEM. */
int index_init(struct index *index, uint32_t room);
void index_destroy(struct index *index);

/* The value that goes with `id`, or INDEX_NONE. */
uint32_t index_find(const struct index *index, uint32_t id);

/* `id` must not be in the index, and fewer than `room` others. */
void index_add(struct index *index, uint32_t id, uint32_t value);

/* `id` must be in the index. */
void index_drop(struct index *index, uint32_t id);

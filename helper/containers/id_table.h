/* SPDX-License-Identifier: MIT */
/* Finds a slab's objects by a key in constant time: an open-addressed table of fixed
 * size, made at start, never more than half full. It has the objects' numbers alone,
 * 4 bytes each, and reads the keys in the objects. Keys are mostly consecutive ids, of
 * which a VMM can choose those that it keeps: so that no choice makes long rows, along
 * which a search has to walk, each table has them in an order of its own. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "containers/slab.h"

struct index {
    uint32_t *entries; /* slab_number() plus one; 0: free, as untouched pages are */
    uint32_t mask;
    uint64_t secret;
    const struct slab *slab;
    size_t key; /* where in an object its key, a uint32_t, is */
};

/* Room for `room` objects of the slab, which must not move. Returns 0 or -errno. */
int index_init(struct index *index, uint32_t room, const struct slab *slab, size_t key);
void index_destroy(struct index *index);

/* The object with that key, or NULL. */
void *index_find(const struct index *index, uint32_t key);

/* No object with its key may be in the index, and fewer than `room` others. */
void index_add(struct index *index, const void *object);

/* Gives `object` the first key from `*next` on that no other has, not 0, and adds it.
 * `*next` is then the one after. */
void index_add_fresh(struct index *index, void *object, uint32_t *next);

/* Must be in the index, with the key that it had when it was added. */
void index_drop(struct index *index, const void *object);

/* SPDX-License-Identifier: MIT */
/* Finds a slab's objects by a key in constant time: an open-addressed table of fixed
 * size, made at start, never more than half full. It has the objects' numbers alone,
 * 4 bytes each, and reads the keys in the objects. Keys are mostly consecutive ids, of
 * which a VMM can choose those that it keeps: so that no choice makes long rows, along
 * which a search has to walk, each table has them in an order of its own. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "containers/slab.h"

struct id_table {
    uint32_t *entries; /* slab_number() plus one; 0: free, as untouched pages are */
    uint32_t mask;
    uint64_t secret;
    const struct slab *slab;
    size_t key; /* where in an object its key is */
    bool wide;  /* a key is a uint64_t, else a uint32_t */
};

/* Room for `room` objects of the slab, which must not move; a key has `key_size` bytes, 4 or 8.
 * Returns 0 or -errno. */
int id_table_init(struct id_table *table, uint32_t room, const struct slab *slab, size_t key,
                  size_t key_size);
void id_table_destroy(struct id_table *table);

/* The object with that key, or NULL. */
void *id_table_find(const struct id_table *table, uint64_t key);

/* No object with its key may be in the table, and fewer than `room` others. */
void id_table_add(struct id_table *table, const void *object);

/* Must be in the table, with the key that it had when it was added. */
void id_table_drop(struct id_table *table, const void *object);

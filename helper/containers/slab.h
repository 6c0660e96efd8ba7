/* SPDX-License-Identifier: MIT */
/* Objects of one size from one mapping that is made at start, so that nothing
 * is allocated after lock-down. Pages are touched as objects are first used:
 * a generous limit costs address space, not memory. */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

struct slab {
    char *memory;
    size_t size;   /* of one object */
    uint32_t room; /* objects in all */
    uint32_t used; /* objects taken now */
    uint32_t high; /* objects ever touched: those above are still zero pages */
    void *free;    /* returned objects, each pointing to the next */
};

/* Memory of zeroes, for any container: given back by munmap(). NULL where there is none. */
void *memory_map(size_t bytes);

/* Returns 0 or -ENOMEM. `size` is at least that of a pointer. */
int slab_init(struct slab *slab, size_t size, uint32_t room);
void slab_destroy(struct slab *slab);

/* A zeroed object, or NULL where all are taken. */
void *slab_take(struct slab *slab);
/* One that holds whatever was there last: for large objects, most of which is not read. */
void *slab_take_unclean(struct slab *slab);
void slab_give(struct slab *slab, void *object);

/* Objects by number, for tables that keep 32 bits rather than a pointer. */
uint32_t slab_number(const struct slab *slab, const void *object);
static inline void *slab_at(const struct slab *slab, uint32_t number) {
    assert(number < slab->room);
    return slab->memory + slab->size * number;
}

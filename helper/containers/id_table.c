/* SPDX-License-Identifier: MIT */
/* An open-addressed table of the objects of a slab, by number. */
#include "containers/id_table.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

static size_t table_bytes(const struct id_table *table) {
    return ((size_t)table->mask + 1) * sizeof(*table->entries);
}

int id_table_init(struct id_table *table, uint32_t room, const struct slab *slab, size_t key,
                  size_t key_size) {
    assert(key_size == sizeof(uint32_t) || key_size == sizeof(uint64_t));
    uint32_t size = 16;
    while (size / 2 < room)
        size *= 2;
    *table = (struct id_table){
        .mask = size - 1, .slab = slab, .key = key, .wide = key_size == sizeof(uint64_t)};
    if (getrandom(&table->secret, sizeof(table->secret), 0) < 0)
        return -errno;
    table->entries = memory_map(table_bytes(table));
    return table->entries ? 0 : -ENOMEM;
}

void id_table_destroy(struct id_table *table) {
    if (table->entries)
        munmap(table->entries, table_bytes(table));
    table->entries = NULL;
}

static uint64_t key_of(const struct id_table *table, const void *object) {
    const void *at = (const char *)object + table->key;

    return table->wide ? *(const uint64_t *)at : *(const uint32_t *)at;
}

static void *object_at(const struct id_table *table, uint32_t place) {
    return slab_at(table->slab, table->entries[place] - 1);
}

/* Where the search for a key begins. Only who knows the secret can tell: a VMM that
 * could keep just those ids that are neighbours would have each search among them walk
 * along them all. */
static uint32_t home(const struct id_table *table, uint64_t key) {
    uint64_t mixed = (key ^ table->secret) * UINT64_C(0x9e3779b97f4a7c15); /* golden ratio */
    mixed = (mixed ^ mixed >> 32) * (table->secret | 1);
    return (uint32_t)(mixed >> 32) & table->mask;
}

/* The entry of a key, or the free one where it would go. */
static uint32_t probe(const struct id_table *table, uint64_t key) {
    uint32_t place = home(table, key);
    while (table->entries[place] && key_of(table, object_at(table, place)) != key)
        place = (place + 1) & table->mask;
    return place;
}

void *id_table_find(const struct id_table *table, uint64_t key) {
    uint32_t place = probe(table, key);
    return table->entries[place] ? object_at(table, place) : NULL;
}

void id_table_add(struct id_table *table, const void *object) {
    uint32_t place = probe(table, key_of(table, object));

    assert(!table->entries[place]);
    table->entries[place] = slab_number(table->slab, object) + 1;
}

void id_table_drop(struct id_table *table, const void *object) {
    uint32_t hole = probe(table, key_of(table, object));
    assert(table->entries[hole] && object_at(table, hole) == object);

    /* Close the gap: an entry further on that could stand in the hole, because
     * its search passes there, moves into it and leaves a hole of its own. */
    for (uint32_t next = (hole + 1) & table->mask; table->entries[next];
         next = (next + 1) & table->mask) {
        uint32_t from = home(table, key_of(table, object_at(table, next)));
        if (((next - from) & table->mask) >= ((next - hole) & table->mask)) {
            table->entries[hole] = table->entries[next];
            hole = next;
        }
    }
    table->entries[hole] = 0;
}

/* SPDX-License-Identifier: MIT */
#include "containers/id_table.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

static size_t table_bytes(const struct index *index) {
    return ((size_t)index->mask + 1) * sizeof(*index->entries);
}

int index_init(struct index *index, uint32_t room, const struct slab *slab, size_t key) {
    uint32_t size = 16;
    while (size / 2 < room)
        size *= 2;
    *index = (struct index){.mask = size - 1, .slab = slab, .key = key};
    if (getrandom(&index->secret, sizeof(index->secret), 0) < 0)
        return -errno;
    void *memory = mmap(NULL, table_bytes(index), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return -ENOMEM;
    index->entries = memory;
    return 0;
}

void index_destroy(struct index *index) {
    if (index->entries)
        munmap(index->entries, table_bytes(index));
    index->entries = NULL;
}

static uint32_t key_of(const struct index *index, const void *object) {
    uint32_t key;
    memcpy(&key, (const char *)object + index->key, sizeof(key));
    return key;
}

static void *object_at(const struct index *index, uint32_t place) {
    return slab_at(index->slab, index->entries[place] - 1);
}

/* Where the search for a key begins. Only who knows the secret can tell: a VMM that
 * could keep just those ids that are neighbours would have each search among them walk
 * along them all. */
static uint32_t home(const struct index *index, uint32_t key) {
    uint64_t mixed = (key ^ index->secret) * UINT64_C(0x9e3779b97f4a7c15); /* golden ratio */
    mixed = (mixed ^ mixed >> 32) * (index->secret | 1);
    return (uint32_t)(mixed >> 32) & index->mask;
}

/* The entry of a key, or the free one where it would go. */
static uint32_t probe(const struct index *index, uint32_t key) {
    uint32_t place = home(index, key);
    while (index->entries[place] && key_of(index, object_at(index, place)) != key)
        place = (place + 1) & index->mask;
    return place;
}

void *index_find(const struct index *index, uint32_t key) {
    uint32_t place = probe(index, key);
    return index->entries[place] ? object_at(index, place) : NULL;
}

static void enter(struct index *index, uint32_t place, const void *object) {
    assert(!index->entries[place]);
    index->entries[place] = slab_number(index->slab, object) + 1;
}

void index_add(struct index *index, const void *object) {
    enter(index, probe(index, key_of(index, object)), object);
}

/* After four thousand million, which a VMM that does nothing but open reaches
 * in a day, keys begin again at 1. */
void index_add_fresh(struct index *index, void *object, uint32_t *next) {
    uint32_t place, key;
    do {
        if (*next == 0)
            ++*next;
        key = (*next)++;
        place = probe(index, key);
    } while (index->entries[place]);
    memcpy((char *)object + index->key, &key, sizeof(key));
    enter(index, place, object);
}

void index_drop(struct index *index, const void *object) {
    uint32_t hole = probe(index, key_of(index, object));
    assert(index->entries[hole] && object_at(index, hole) == object);

    /* Close the gap: an entry further on that could stand in the hole, because
     * its search passes there, moves into it and leaves a hole of its own. */
    for (uint32_t next = (hole + 1) & index->mask; index->entries[next];
         next = (next + 1) & index->mask) {
        uint32_t from = home(index, key_of(index, object_at(index, next)));
        if (((next - from) & index->mask) >= ((next - hole) & index->mask)) {
            index->entries[hole] = index->entries[next];
            hole = next;
        }
    }
    index->entries[hole] = 0;
}

#include "index.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

static size_t table_bytes(const struct index *index) {
    return ((size_t)index->mask + 1) * sizeof(struct index_entry);
}

int index_init(struct index *index, uint32_t room) {
    uint32_t size = 16;
    while (size / 2 < room)
        size *= 2;
    index->mask = size - 1;
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

/* Where the search for `id` begins. Being odd, the factor takes each run of ids to
 * as many places; half full, no more than three neighbours are taken. */
static uint32_t home(const struct index *index, uint32_t id) {
    return id * 5 & index->mask;
}

/* The entry of `id`, or the free one where it would go. */
static uint32_t probe(const struct index *index, uint32_t id) {
    uint32_t place = home(index, id);
    while (index->entries[place].value_plus_one && index->entries[place].id != id)
        place = (place + 1) & index->mask;
    return place;
}

uint32_t index_find(const struct index *index, uint32_t id) {
    return index->entries[probe(index, id)].value_plus_one - 1;
}

void index_add(struct index *index, uint32_t id, uint32_t value) {
    struct index_entry *entry = &index->entries[probe(index, id)];
    assert(!entry->value_plus_one && value != INDEX_NONE);
    *entry = (struct index_entry){id, value + 1};
}

void index_drop(struct index *index, uint32_t id) {
    uint32_t hole = probe(index, id);
    assert(index->entries[hole].value_plus_one);

    /* Close the gap: an entry further on that could stand in the hole, because
     * its search passes there, moves into it and leaves a hole of its own. */
    for (uint32_t next = (hole + 1) & index->mask; index->entries[next].value_plus_one;
         next = (next + 1) & index->mask) {
        uint32_t from = home(index, index->entries[next].id);
        if (((next - from) & index->mask) >= ((next - hole) & index->mask)) {
            index->entries[hole] = index->entries[next];
            hole = next;
        }
    }
    index->entries[hole] = (struct index_entry){0};
}

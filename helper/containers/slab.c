/* SPDX-License-Identifier: MIT */
/* Objects of one size from one mapping. */
#include "containers/slab.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

void *memory_map(size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

int slab_init(struct slab *slab, size_t size, uint32_t room) {
    assert(size >= sizeof(void *));
    *slab = (struct slab){.size = (size + 7) & ~(size_t)7, .room = room};
    slab->memory = memory_map(slab->size * room);
    return slab->memory ? 0 : -ENOMEM;
}

void slab_destroy(struct slab *slab) {
    if (slab->memory)
        munmap(slab->memory, slab->size * slab->room);
    *slab = (struct slab){0};
}

void *slab_take_unclean(struct slab *slab) {
    void *object;
    if (slab->free) {
        object = slab->free;
        memcpy(&slab->free, object, sizeof(void *));
    } else if (slab->high < slab->room) {
        object = slab_at(slab, slab->high++);
    } else {
        return NULL;
    }
    slab->used++;
    return object;
}

void *slab_take(struct slab *slab) {
    void *object = slab_take_unclean(slab);

    return object ? memset(object, 0, slab->size) : NULL;
}

void slab_give(struct slab *slab, void *object) {
    assert(slab->used > 0);
    memcpy(object, &slab->free, sizeof(void *));
    slab->free = object;
    slab->used--;
}

uint32_t slab_number(const struct slab *slab, const void *object) {
    size_t offset = (size_t)((const char *)object - slab->memory);
    assert(offset % slab->size == 0 && offset / slab->size < slab->room);
    return (uint32_t)(offset / slab->size);
}

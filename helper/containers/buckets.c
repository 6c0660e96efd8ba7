/* SPDX-License-Identifier: MIT */
/* A table of lists. */
#include "containers/buckets.h"

#include <errno.h>

#include "containers/slab.h"

int buckets_init(struct buckets *buckets, uint32_t room) {
    uint32_t size = 16;

    while (size < room)
        size *= 2;
    buckets->mask = size - 1;
    buckets->heads = memory_map(size * sizeof(struct list));
    if (!buckets->heads)
        return -ENOMEM;
    for (uint32_t i = 0; i < size; i++)
        list_init(&buckets->heads[i]);
    return 0;
}

struct list *buckets_at(const struct buckets *buckets, uint32_t key) {
    return &buckets->heads[(key * 0x9e3779b1u /* golden ratio */ >> 7) & buckets->mask];
}

/* FNV-1a. */
uint32_t text_key(const char *text) {
    uint32_t key = 2166136261u;

    for (; *text; text++)
        key = (key ^ (uint8_t)*text) * 16777619u;
    return key;
}

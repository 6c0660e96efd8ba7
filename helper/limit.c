#include "limit.h"

#include <string.h>

static const struct {
    const char *name;
    size_t offset;
} names[] = {
    {"sets", offsetof(struct limits, sets)},
    {"members", offsetof(struct limits, members)},
    {"leases", offsetof(struct limits, leases)},
    {"leases-per-vmm", offsetof(struct limits, leases_per_vmm)},
    {"connections", offsetof(struct limits, connections)},
    {"waiting", offsetof(struct limits, waiting)},
    {"holds", offsetof(struct limits, holds)},
    {"events", offsetof(struct limits, events)},
};

#define COUNT (sizeof(names) / sizeof(names[0]))

uint32_t *limits_find(struct limits *limits, const char *name) {
    for (size_t i = 0; i < COUNT; i++)
        if (strcmp(names[i].name, name) == 0)
            return (uint32_t *)((char *)limits + names[i].offset);
    return NULL;
}

const char *limits_name(size_t index) {
    return index < COUNT ? names[index].name : NULL;
}

/* SPDX-License-Identifier: MIT */
/* The limits by name, and how they give way where descriptors are few. */
#include "model/limit.h"

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
    {"hello-seconds", offsetof(struct limits, hello_seconds)},
    {"unread-seconds", offsetof(struct limits, unread_seconds)},
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

static uint32_t less(uint32_t one, size_t other) {
    return other < one ? (uint32_t)other : one;
}

bool limits_fit(struct limits *limits, size_t descriptors, bool members_given,
                bool connections_given) {
    if (!members_given && !connections_given && descriptors < LIMITS_FEWEST)
        return false;
    if (!connections_given)
        limits->connections = less(limits->connections, !members_given ? descriptors / 4
                                                        : limits->members < descriptors
                                                            ? descriptors - limits->members
                                                            : 0);
    if (!members_given)
        limits->members =
            less(limits->members,
                 limits->connections < descriptors ? descriptors - limits->connections : 0);
    return limits->members > 0 && limits->connections > 0 &&
           (size_t)limits->members + limits->connections <= descriptors;
}

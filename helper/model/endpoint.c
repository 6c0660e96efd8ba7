/* SPDX-License-Identifier: MIT */
/* Divides what the helper has among the endpoints. */
#include "model/endpoint.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "containers/slab.h"

/* One connection in eight is kept for managers, one in sixteen for observers. */
#define MANAGERS_SHARE  8
#define OBSERVERS_SHARE 16

/* Of what is not given to one endpoint by name, this part is kept for each; the rest is for who
 * comes first. */
#define KEPT_SHARE 2

const char *const resource_names[RESOURCES] = {
    [RESOURCE_LEASES] = "leases",
    [RESOURCE_WAITING] = "waiting",
    [RESOURCE_HOLDS] = "holds",
    [RESOURCE_CONNECTIONS] = "connections",
};

static uint32_t smaller(uint32_t one, uint32_t other) {
    return one < other ? one : other;
}

/* Divides `room`, of which one endpoint gets `most` if nothing else is said. */
static void divide(struct endpoints *endpoints, const struct endpoint_plan *plans,
                   enum resource resource, uint32_t room, uint32_t most) {
    uint32_t sharing = 0;

    for (uint32_t i = 0; i < endpoints->count; i++) {
        room -= plans[i].given[resource];
        sharing += !plans[i].given[resource];
    }
    uint32_t kept = sharing ? smaller(room / sharing / KEPT_SHARE, most) : 0;
    if (kept == 0 && room >= sharing)
        kept = 1;
    for (uint32_t i = 0; i < endpoints->count; i++) {
        uint32_t given = plans[i].given[resource];
        endpoints->all[i].shares[resource] =
            given ? (struct share){.kept = given, .most = given, .is_given = true}
                  : (struct share){.kept = kept, .most = most};
    }
    endpoints->free[resource] = room - kept * sharing;
}

/* Not 0 of none, which there can be as well. */
static size_t bytes(const struct endpoints *endpoints) {
    return (endpoints->count + 1) * sizeof(*endpoints->all);
}

int endpoints_init(struct endpoints *endpoints, const struct limits *limits,
                   const struct endpoint_plan *plans, uint32_t count, bool observed) {
    uint32_t all = limits->connections;

    *endpoints = (struct endpoints){.count = count};
    endpoints->all = memory_map(bytes(endpoints));
    if (!endpoints->all)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++) {
        strcpy(endpoints->all[i].name, plans[i].name);
        list_init(&endpoints->all[i].sessions);
    }
    endpoints->managers = (struct share){.kept = all / MANAGERS_SHARE, .most = all};
    endpoints->observers =
        (struct share){.kept = observed ? all / OBSERVERS_SHARE : 0, .most = all};
    divide(endpoints, plans, RESOURCE_LEASES, limits->leases, limits->leases_per_vmm);
    divide(endpoints, plans, RESOURCE_WAITING, limits->waiting, limits->waiting);
    divide(endpoints, plans, RESOURCE_HOLDS, limits->holds, limits->holds);
    divide(endpoints, plans, RESOURCE_CONNECTIONS,
           all - endpoints->managers.kept - endpoints->observers.kept, all);
    return 0;
}

void endpoints_destroy(struct endpoints *endpoints) {
    if (endpoints->all)
        munmap(endpoints->all, bytes(endpoints));
    *endpoints = (struct endpoints){0};
}

struct endpoint *endpoints_find(const struct endpoints *endpoints, const char *name) {
    for (uint32_t i = 0; i < endpoints->count; i++)
        if (strcmp(endpoints->all[i].name, name) == 0)
            return &endpoints->all[i];
    return NULL;
}

const char *endpoints_names(const struct endpoints *endpoints, char *text, size_t size) {
    size_t used = 0;

    snprintf(text, size, "none");
    for (uint32_t i = 0; i < endpoints->count && used < size; i++) {
        bool fits = size - used > sizeof(endpoints->all[i].name) + sizeof(", '', ...");
        used += (size_t)snprintf(text + used, size - used, "%s%s%s%s", i > 0 ? ", " : "",
                                 fits ? "'" : "...", fits ? endpoints->all[i].name : "",
                                 fits ? "'" : "");
        if (!fits)
            break;
    }
    return text;
}

/* The limit that is in the way: one for each VM, or the one of all of them. */
static const char *limit_reached(const struct share *share, enum resource resource) {
    return resource == RESOURCE_LEASES && share->used >= share->most ? "leases-per-vmm"
                                                                     : resource_names[resource];
}

int refuse_share(const struct endpoint *endpoint, enum resource resource, struct refusal *refusal) {
    static const char *const what[RESOURCES] = {"leases", "waiting opens", "holds", "connections"};
    const struct share *share = &endpoint->shares[resource];

    if (share->is_given) /* and no limit makes it more */
        return refuse(refusal, REFUSAL_LIMIT, ENFILE,
                      "this VM has %u %s, as many as it may: start fdset-helper with a larger %s=N "
                      "in the --vmm of this VM",
                      share->used, what[resource], resource_names[resource]);
    return refuse(refusal, REFUSAL_LIMIT, ENFILE,
                  "this VM has %u %s, as many as it may: start fdset-helper with --limit %s=N "
                  "(also by FDSET_HELPER_OPTIONS), or with %s=N in the --vmm of this VM",
                  share->used, what[resource], limit_reached(share, resource),
                  resource_names[resource]);
}

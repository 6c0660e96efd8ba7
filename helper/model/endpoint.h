/* SPDX-License-Identifier: MIT */
/* An endpoint: the VMM sockets that are one VM. What a VM has of what the helper has in all is
 * counted here over all its connections, so that no VM can take what is another's: of each
 * resource a part is kept for each endpoint, and the rest is for who comes first. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "containers/list.h"
#include "containers/watch.h"
#include "model/limit.h"
#include "model/refusal.h"
#include "name.h"

enum resource {
    RESOURCE_LEASES,
    RESOURCE_WAITING,
    RESOURCE_HOLDS,
    RESOURCE_CONNECTIONS,
    RESOURCES,
};

/* The names of the limits, and of an endpoint's. */
extern const char *const resource_names[RESOURCES];

struct share {
    uint32_t used;
    uint32_t kept; /* nobody else gets these */
    uint32_t most;
    bool is_given; /* by the --vmm of this endpoint */
};

struct endpoint {
    char name[FDSET_MAX_NAME_BYTES + 1];
    struct list sessions; /* of the layer above: its connections, */
    struct lane lane;     /* and their turn */
    struct share shares[RESOURCES];

    /* Descriptors that its peers may not have received yet, not fewer than there are; and when
     * that was last looked at over all its connections. */
    uint32_t in_flight;
    uint64_t in_flight_ms;
};

struct endpoints {
    struct endpoint *all;
    uint32_t count;
    struct share managers, observers; /* of the connections */
    uint32_t free[RESOURCES];         /* nobody's own, and nobody has them */
};

/* What is wanted of an endpoint; 0 of a resource stands for a fair share of what is not given to
 * others. */
struct endpoint_plan {
    char name[FDSET_MAX_NAME_BYTES + 1];
    uint32_t given[RESOURCES];
};

/* Divides the limits, which all that is given does not exceed. Managers and,
 * where `observed`, observers have connections kept for them as well. Returns 0 or -ENOMEM. */
int endpoints_init(struct endpoints *endpoints, const struct limits *limits,
                   const struct endpoint_plan *plans, uint32_t count, bool observed);
void endpoints_destroy(struct endpoints *endpoints);

/* The endpoint of this name, or NULL. */
struct endpoint *endpoints_find(const struct endpoints *endpoints, const char *name);

/* The names of all, as far as they fit: "'vm1', 'vm2'". */
const char *endpoints_names(const struct endpoints *endpoints, char *text, size_t size);

/* Why it got no more. Says nothing of others. Returns -ENFILE. */
int refuse_share(const struct endpoint *endpoint, enum resource resource, struct refusal *refusal);

/* There is one more, in the share or in what is free. */
static inline bool share_has(const struct share *share, uint32_t free) {
    return share->used < share->kept || (share->used < share->most && free > 0);
}

static inline bool share_take(struct share *share, uint32_t *free) {
    if (!share_has(share, *free))
        return false;
    *free -= share->used >= share->kept;
    share->used++;
    return true;
}

static inline void share_give(struct share *share, uint32_t *free) {
    if (share->used-- > share->kept)
        ++*free;
}

static inline bool endpoint_take(struct endpoints *endpoints, struct endpoint *endpoint,
                                 enum resource resource) {
    return share_take(&endpoint->shares[resource], &endpoints->free[resource]);
}

static inline void endpoint_give(struct endpoints *endpoints, struct endpoint *endpoint,
                                 enum resource resource) {
    share_give(&endpoint->shares[resource], &endpoints->free[resource]);
}

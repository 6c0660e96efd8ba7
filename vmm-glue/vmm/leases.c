/* SPDX-License-Identifier: MIT */
/* Which descriptors are leases, and how many copies there are of each. */
#include "vmm/leases.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire/connection.h"

/* Most programs never get past this descriptor number. */
#define FIRST_SIZE 64

#define NO_LEASE ((struct lease_id){0, 0})

void leases_init(struct leases *leases) {
    pthread_mutex_init(&leases->lock, NULL);
    leases->slots = NULL;
    leases->size = 0;
    leases->spare = NULL;
}

void leases_destroy(struct leases *leases) {
    for (size_t fd = 0; fd < leases->size; fd++)
        if (leases->slots[fd] && --leases->slots[fd]->copies == 0)
            free(leases->slots[fd]);
    while (leases->spare) {
        struct counted_lease *lease = leases->spare;
        leases->spare = lease->next;
        free(lease);
    }
    free(leases->slots);
}

static int table_reach(struct leases *leases, int fd) {
    size_t size = leases->size ? leases->size : FIRST_SIZE;
    while (size <= (size_t)fd)
        size *= 2;
    if (size == leases->size)
        return 0;
    struct counted_lease **slots = reallocarray(leases->slots, size, sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    memset(slots + leases->size, 0, (size - leases->size) * sizeof(*slots));
    leases->slots = slots;
    leases->size = size;
    return 0;
}

static struct counted_lease *slot_get(const struct leases *leases, int fd) {
    return fd >= 0 && (size_t)fd < leases->size ? leases->slots[fd] : NULL;
}

static struct counted_lease *slot_clear(struct leases *leases, int fd) {
    struct counted_lease *lease = slot_get(leases, fd);
    if (lease)
        leases->slots[fd] = NULL;
    return lease;
}

static struct counted_lease *lease_new(struct leases *leases, struct lease_id id) {
    struct counted_lease *lease = leases->spare;
    if (lease)
        leases->spare = lease->next;
    else
        lease = malloc(sizeof(*lease));
    if (lease)
        *lease = (struct counted_lease){.id = id};
    return lease;
}

static struct lease_id copy_end(struct leases *leases, struct counted_lease *lease) {
    assert(lease->copies > 0);
    if (--lease->copies > 0)
        return NO_LEASE;
    lease->next = leases->spare;
    leases->spare = lease;
    return lease->id;
}

/* The kernel has just given out `fd`, so whatever the slot says is over. */
static void slot_set(struct leases *leases, int fd, struct counted_lease *lease,
                     struct lease_id *stale) {
    struct counted_lease *old = slot_clear(leases, fd);
    leases->slots[fd] = lease;
    lease->copies++;
    *stale = old ? copy_end(leases, old) : NO_LEASE;
}

int leases_put(struct leases *leases, int fd, struct lease_id id, struct lease_id *stale) {
    assert(fd >= 0);
    *stale = NO_LEASE;
    LOCKED(leases->lock);
    int error = table_reach(leases, fd);
    struct counted_lease *lease = error ? NULL : lease_new(leases, id);
    if (lease)
        slot_set(leases, fd, lease, stale);
    return lease ? 0 : -ENOMEM;
}

int leases_share(struct leases *leases, int fd, int copy, struct lease_id *stale) {
    int error = 0;
    *stale = NO_LEASE;
    LOCKED(leases->lock);
    struct counted_lease *lease = slot_get(leases, fd);
    if (lease && copy >= 0) {
        error = table_reach(leases, copy);
        if (!error)
            slot_set(leases, copy, lease, stale);
    } else {
        struct counted_lease *old = slot_clear(leases, copy);
        *stale = old ? copy_end(leases, old) : NO_LEASE;
    }
    return error;
}

struct counted_lease *leases_take(struct leases *leases, int fd) {
    LOCKED(leases->lock);

    return slot_clear(leases, fd);
}

struct lease_id leases_end(struct leases *leases, struct counted_lease *lease) {
    LOCKED(leases->lock);

    return copy_end(leases, lease);
}

struct lease_id leases_find(struct leases *leases, int fd) {
    LOCKED(leases->lock);
    const struct counted_lease *lease = slot_get(leases, fd);

    return lease ? lease->id : NO_LEASE;
}

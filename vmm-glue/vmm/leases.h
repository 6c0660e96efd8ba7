/* SPDX-License-Identifier: MIT */
/* Which of this process's descriptors are leases: a table from descriptor
 * number to lease. A lease has one copy, and one more for each dup(2) that
 * the caller told of; it is over when the last copy is closed.
 *
 * Two threads that race for a number (one closes it, the other gets it from
 * the kernel at once) never see each other's lease, as long as a slot is
 * cleared before the real close: leases_take(), close(2), leases_end().
 *
 * Thread-safe. A slot whose descriptor was closed behind the library's back
 * is noticed when the number comes again: its lease is then `stale`. */
#pragma once

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

/* What to tell the helper of, and which: connection.h, `generation`. */
struct lease_id {
    uint64_t id; /* 0: none */
    uint64_t generation;
};

/* One lease, counted. */
struct counted_lease {
    struct lease_id id;
    uint32_t copies;
    struct counted_lease *next; /* among the spare ones */
};

struct leases {
    pthread_mutex_t lock;
    struct counted_lease **slots; /* by descriptor number */
    size_t size;
    struct counted_lease *spare; /* used before, so that an open need not allocate */
};

void leases_init(struct leases *leases);

/* Frees the table. The descriptors are the caller's. */
void leases_destroy(struct leases *leases);

/* Enters `fd` as the first copy of lease `id`. `stale` gets the lease that
 * ended by this, or none. Returns 0 or -ENOMEM. */
int leases_put(struct leases *leases, int fd, struct lease_id id, struct lease_id *stale);

/* Enters `copy` as one more copy of what `fd` is: a lease or none. `stale` as
 * above. Returns 0 or -ENOMEM. */
int leases_share(struct leases *leases, int fd, int copy, struct lease_id *stale);

/* Clears the slot of `fd`. Returns its copy, for leases_end(), or NULL where
 * `fd` is no lease. */
struct counted_lease *leases_take(struct leases *leases, int fd);

/* A taken copy has been closed. Returns the lease's id if it was the last one
 * and the helper is to be told, else none. */
struct lease_id leases_end(struct leases *leases, struct counted_lease *lease);

/* The lease that `fd` is, or none. */
struct lease_id leases_find(struct leases *leases, int fd);

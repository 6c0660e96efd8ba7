/* SPDX-License-Identifier: MIT */
/* The members of a large set that may be opened, in an order in which an open finds its own
 * without a look at the others: by what an open can ask of them, and the newest last. A treap:
 * a search tree by that, and a heap by the members' ids, mixed, which keeps it shallow.
 *
 * Small sets have none: to look at a few members is cheaper than to keep them in order. */
#pragma once

#include "model/model.h"

/* More members, and they are kept in order. */
#define ORDER_FROM 8

/* What a member is used for now. Those that no lease uses come first. */
enum use { USE_FREE, USE_SETTLING, USE_SHARED, USE_ONE_VMM, USE_EXCLUSIVE };

/* The flags that cannot change without a lease's reads and writes noticing: of a member that can
 * be written, and of one of which reading may wait. */
int felt_of(bool writes, bool waits);
int felt_flags(const struct member *member);

/* What an open asks for, and a member has: its access mode, O_SYNC and O_DSYNC, the manager's
 * O_DIRECT, and whether it serves read-only opens. */
uint64_t order_class(int flags, bool serves_read_only);

/* The members of a class that are alike in use: to an open they differ in age alone. `status` is
 * that of the flags that a lease would notice a change of, `waits` whether O_NONBLOCK is one, and
 * `holder` whose leases they have; of USE_FREE and USE_SETTLING nothing, of USE_SHARED and
 * USE_EXCLUSIVE no holder. */
uint64_t order_group(enum use use, uint64_t class, bool waits, int status,
                     const struct holder *holder);

/* Its group now. */
uint64_t order_of(const struct member *member);

/* The newest member of the group, or NULL. */
struct member *order_newest(const struct fdset *set, uint64_t group);

/* Some member of that use and class, or NULL. */
struct member *order_any(const struct fdset *set, enum use use, uint64_t class);

/* Some member without a lease, or NULL. */
struct member *order_unused(const struct fdset *set);

/* The member is listed, or is no more, or is used otherwise. */
void order_update(struct member *member);

static inline void member_moved(struct member *member) {
    if (member->set && member->set->ordered)
        order_update(member);
}

/* Begins to keep the set's members in order, where they are many. */
void order_begin(struct fdset *set);

/* Asserts that all is as it should be. */
void order_check(const struct fdset *set);

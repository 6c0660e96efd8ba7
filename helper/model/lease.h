/* SPDX-License-Identifier: MIT */
/* Who uses what: leases, holds, and those who have them. */
#pragma once

#include "model/model.h"

/* `pid` is 0 where it is not known. */
void holder_init(struct holder *holder, uint32_t connection, pid_t pid);

/* Who it is, for people: its name and process id. */
#define WHO_BYTES (FDSET_MAX_NAME_BYTES + 32)
const char *holder_who(const struct holder *holder, char text[WHO_BYTES]);

/* Gives out a lease of a matched member. Returns NULL and a refusal where a
 * limit is reached. To be followed by lease_confirm() or lease_cancel(). */
struct lease *lease_open(struct model *model, struct holder *holder, struct member *member,
                         int flags, struct refusal *refusal);

/* The open has succeeded, and uses up a set of LIFETIME_ONCE. */
void lease_confirm(struct model *model, struct lease *lease);

/* The open has failed before it was confirmed: it is as if it had not been. */
void lease_cancel(struct model *model, struct lease *lease);

/* The holder's lease of this id, or NULL. */
struct lease *lease_find(const struct model *model, const struct holder *holder, uint32_t id);

/* Ends a lease. As the last of its member ends, the member is queued for
 * RESTORE, and for CLOSE if it was removed. */
void lease_end(struct model *model, struct lease *lease);

/* Holds a set; again is nothing. Returns 0 or -errno where a limit is reached. */
int hold_begin(struct model *model, struct holder *holder, struct fdset *set,
               struct refusal *refusal);

/* Ends the holder's hold of the set, if there is one. */
void hold_end(struct model *model, struct holder *holder, struct fdset *set);

/* Ends all leases and holds: it has hung up. */
void holder_end(struct model *model, struct holder *holder);

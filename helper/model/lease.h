/* SPDX-License-Identifier: MIT */
/* Who uses what: which member serves an open, leases, holds, and those who have them. */
#pragma once

#include "model/model.h"

/* `pid` is 0 where it is not known. */
void holder_init(struct holder *holder, struct endpoint *endpoint, uint64_t connection, pid_t pid);

/* Who it is, for people: its name and process id; to a VMM of another endpoint, only that it is
 * another VM. */
#define WHO_BYTES (FDSET_MAX_NAME_BYTES + 64)
const char *lease_who(const struct lease *lease, const struct holder *asks, char text[WHO_BYTES]);

/* Gives out a lease of a matched member. Returns NULL and a refusal where a
 * limit is reached. To be followed by lease_confirm() or lease_cancel(). */
struct lease *lease_open(struct model *model, struct holder *holder, struct member *member,
                         int flags, struct refusal *refusal);

/* The open has succeeded, and uses up a set of LIFETIME_ONCE. */
void lease_confirm(struct model *model, struct lease *lease);

/* The open has failed before it was confirmed: it is as if it had not been. */
void lease_cancel(struct model *model, struct lease *lease);

/* The holder's lease of this id, or NULL. */
struct lease *lease_find(const struct model *model, const struct holder *holder, uint64_t id);

/* Ends a lease. As the last of its member ends, the member is queued for
 * RESTORE, and for CLOSE if it was removed. */
void lease_end(struct model *model, struct lease *lease);

/* Holds a set; again is nothing. Returns 0 or -errno where a limit is reached. */
int hold_begin(struct model *model, struct holder *holder, struct fdset *set,
               struct refusal *refusal);

/* Ends the holder's hold of the set, if there is one. */
void hold_end(struct model *model, struct holder *holder, struct fdset *set);

/* Ends leases and holds of one that has hung up, at most so many. Returns whether it has none
 * any more. */
bool holder_end(struct model *model, struct holder *holder, uint32_t most);

/* What match_member() found. */
struct match {
    struct member *member; /* also where it refuses: the one that came nearest, or NULL */
    bool set_flags;        /* the description's flags differ and may be set: no lease has it */
    bool settling;         /* it fits, but is being settled: to be asked for again */
};

/* The status flags of STATUS_SETTABLE that an open with `flags` gives the member's
 * description: those asked for, and the manager's O_NOATIME as long as it is there. It
 * does no open harm, and once cleared only the file's owner could set it again. */
int match_status(const struct member *member, int flags);

/* Whether an open with `flags` by `holder` can be served from this member now. */
bool match_serves(const struct member *member, const struct holder *holder, int flags);

/* Chooses the member that an open with `flags` by `holder` is served from, as
 * fdset(7) says under OPENING and SHARING. Changes nothing. Returns 0 or -errno. */
int match_member(const struct fdset *set, const struct holder *holder, int flags,
                 struct match *match, struct refusal *refusal);

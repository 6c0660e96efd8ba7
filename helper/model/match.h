/* SPDX-License-Identifier: MIT */
/* Which member serves an open. */
#pragma once

#include "model/model.h"

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

/* Chooses the member that an open with `flags` by `holder` is served from, as
 * fdset(7) says under OPENING and SHARING. Changes nothing. Returns 0 or -errno. */
int match_member(const struct fdset *set, const struct holder *holder, int flags,
                 struct match *match, struct refusal *refusal);

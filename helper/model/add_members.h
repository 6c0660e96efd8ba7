/* SPDX-License-Identifier: MIT */
/* Adding members to sets. */
#pragma once

#include "model/model.h"

/* What goes into one set. Strings are borrowed, NULL for none. */
struct new_members {
    bool has_set;
    uint32_t set; /* in: where has_set; out: which it became */
    const char *name;
    enum lifetime lifetime;
    uint32_t grace_ms, idle_ms;
    bool replace, mixed;
    struct member **members; /* offered ones, inspected and marked */
    uint32_t member_count;
    struct fdset *target; /* the set that exists; filled in by model_add() */
};

/* Whose sets they become. */
struct owner {
    uint64_t manager;  /* the connection, 0 for none */
    const char *label; /* borrowed, NULL for none */
    uid_t uid;
};

/* Lists all members of all additions, or, where that is refused, none: then
 * they are as they were and the caller's to discard. */
int model_add(struct model *model, struct new_members *additions, uint32_t count,
              const struct owner *owner, struct refusal *refusal);

/* SPDX-License-Identifier: MIT */
/* How members come to sets, and when they go: by request, with their manager, or in time. */
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
    const struct endpoint *reserved; /* NULL: as the set is, or for all */
    struct member **members;         /* offered ones, inspected and marked */
    uint32_t member_count;
    struct fdset *target; /* the set that exists; filled in by model_add() */
};

/* Whose sets they become. */
struct owner {
    uint64_t manager;  /* the connection, 0 for none */
    const char *label; /* borrowed, NULL for none */
    uid_t uid;
    const struct endpoint *bound; /* that it is bound to, whose sets it sees; NULL: all */
};

/* Lists all members of all additions, or, where that is refused, none: then
 * they are as they were and the caller's to discard. */
int model_add(struct model *model, struct new_members *additions, uint32_t count,
              const struct owner *owner, struct refusal *refusal);

/* Takes one member, or all (`member` 0), out of a set. Returns how many. `bound` is as in
 * struct owner. */
int model_remove(struct model *model, uint32_t set, uint32_t member, const struct endpoint *bound,
                 struct refusal *refusal);

/* A manager's connection has ended: the grace of its sets begins, or is over. */
void model_manager_gone(struct model *model, uint64_t manager);

/* A manager has come with a label: sets of that label and user whose grace is
 * running are its own. Returns how many. */
uint32_t model_adopt(struct model *model, const struct owner *owner);

/* The lifetime ends with the manager's connection, at once or after a grace. */
static inline bool ends_with_manager(const struct fdset *set) {
    return set->lifetime == LIFETIME_CONNECTION || set->lifetime == LIFETIME_ONCE;
}

/* Ends what is due by now_ms, some of it at a time. */
void model_expire(struct model *model);

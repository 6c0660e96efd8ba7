/* SPDX-License-Identifier: MIT */
/* When members go: by request, with their manager, or in time. */
#pragma once

#include "model/model.h"

struct owner;

/* Takes one member, or all (`member` 0), out of a set. Returns how many. */
int model_remove(struct model *model, uint32_t set, uint32_t member, struct refusal *refusal);

/* A manager's connection has ended: the grace of its sets begins, or is over. */
void model_manager_gone(struct model *model, uint64_t manager);

/* A manager has come with a label: sets of that label and user whose grace is
 * running are its own. Returns how many. */
uint32_t model_adopt(struct model *model, const struct owner *owner);

/* The lifetime ends with the manager's connection, at once or after a grace. */
static inline bool ends_with_manager(const struct fdset *set) {
    return set->lifetime == LIFETIME_CONNECTION || set->lifetime == LIFETIME_ONCE;
}

/* Ends what is due by now_ms. */
void model_expire(struct model *model);

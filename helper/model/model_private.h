/* SPDX-License-Identifier: MIT */
/* Between the model's own files: model.c, add_members.c, lease.c, lifetime.c. */
#pragma once

#include "model/model.h"

/* Queues work on a member; what a settle thread is at already is not queued again. */
void member_queue(struct model *model, struct member *member, unsigned work);

/* Opens that wait may come out otherwise by this member. */
static inline void member_changed(struct model *model, struct member *member) {
    if (model->awaited > 0 && list_empty(&member->changed))
        list_append(&model->changed, &member->changed);
}

/* Removes the set's members that nobody uses, where nobody is left to want them. */
void set_trim(struct model *model, struct fdset *set);

/* Removes all its members. Returns how many there were to remove. */
int set_clear(struct model *model, struct fdset *set);

/* Frees the set if nothing is left of it. */
void set_release(struct model *model, struct fdset *set);

/* Lets the idle time run, where the set has one and nobody uses it. */
void set_rearm(struct model *model, struct fdset *set);

/* A copy of a label, or NULL for NULL; labels are counted into the slabs' room. */
char *label_copy(struct model *model, const char *text);
void label_free(struct model *model, char *label);

void name_add(struct model *model, struct fdset *set, const char *name);

/* The link before which a set of this id stands or would stand. */
struct list *set_place(const struct model *model, uint32_t id);

/* Events: of a member, of a lease. */
void tell_member(struct model *model, enum event_kind kind, const struct member *member);
void tell_lease(struct model *model, enum event_kind kind, const struct lease *lease);

/* SPDX-License-Identifier: MIT */
/* When members go: by request, with their manager, or in time. */
#include "model/lifetime.h"

#include <errno.h>
#include <string.h>

#include "model/model_private.h"
#include "model/order.h"

static void member_unlist(struct member *member) {
    struct fdset *set = member->set;

    list_remove(&member->in_listed);
    set->listed_count--;
    set->mode_counts[member->flags & O_ACCMODE]--;
    set->read_count -= member->serves_read_only && (member->flags & O_ACCMODE) == O_RDWR;
    member_moved(member);
}

/* No open is served from it any more; closed when its last lease ends. */
static void member_remove(struct model *model, struct member *member) {
    if (member->state == MEMBER_REMOVED)
        return;
    member->state = MEMBER_REMOVED;
    member_unlist(member);
    model->totals.removed++;
    member_changed(model, member);
    tell_member(model, EVENT_REMOVED, member);
    if (member->lease_count == 0)
        member_queue(model, member, WORK_CLOSE);
}

int set_clear(struct model *model, struct fdset *set) {
    int removed = 0;

    for (; !list_empty(&set->listed); removed++)
        member_remove(model, list_object(set->listed.next, struct member, in_listed));
    return removed;
}

int model_remove(struct model *model, uint32_t id, uint32_t only, const struct endpoint *bound,
                 struct refusal *refusal) {
    struct fdset *set = model_find_set(model, id);
    struct member *member = only ? model_find_member(model, only) : NULL;

    if (!set || !set_is_seen(set, bound))
        return refuse(refusal, REFUSAL_NO_SET, ENOENT, "there is no set %u", id);
    if (only && (!member || member->set != set))
        return refuse(refusal, REFUSAL_NO_MEMBER, ENOENT, "set %u has no member %u", id, only);
    if (!only)
        return set_clear(model, set);
    int removed = member->state != MEMBER_REMOVED;
    member_remove(model, member);
    return removed;
}

void set_trim(struct model *model, struct fdset *set) {
    if (!set->orphaned || set->hold_count > 0)
        return;
    for (struct member *unused; set->ordered && (unused = order_unused(set));)
        member_remove(model, unused);
    if (set->ordered)
        return;
    list_for_each_safe (link, &set->listed) {
        struct member *member = list_object(link, struct member, in_listed);
        if (member->lease_count == 0)
            member_remove(model, member);
    }
}

void set_rearm(struct model *model, struct fdset *set) {
    if (set->lifetime != LIFETIME_IDLE)
        return;
    if (set->lease_count > 0 || set->hold_count > 0)
        deadline_stop(&model->deadlines, &set->deadline);
    else
        deadline_start(&model->deadlines, &set->deadline, model->now_ms + set->idle_ms);
}

static void set_orphan(struct model *model, struct fdset *set) {
    set->orphaned = true;
    set_trim(model, set);
}

void model_manager_gone(struct model *model, uint64_t manager) {
    list_for_each (link, &model->sets) {
        struct fdset *set = list_object(link, struct fdset, by_id);
        if (set->manager != manager)
            continue;
        set->manager = 0;
        if (!ends_with_manager(set))
            continue;
        if (set->grace_ms > 0)
            deadline_start(&model->deadlines, &set->deadline, model->now_ms + set->grace_ms);
        else
            set_orphan(model, set);
    }
}

uint32_t model_adopt(struct model *model, const struct owner *owner) {
    uint32_t adopted = 0;

    list_for_each (link, &model->sets) {
        struct fdset *set = list_object(link, struct fdset, by_id);
        if (!ends_with_manager(set) || !deadline_runs(&set->deadline) || !set->owner ||
            strcmp(set->owner, owner->label) != 0 || set->owner_uid != owner->uid ||
            !set_is_seen(set, owner->bound))
            continue;
        deadline_stop(&model->deadlines, &set->deadline);
        set->manager = owner->manager;
        adopted++;
    }
    return adopted;
}

/* The others are still due in the next turn. */
#define EXPIRE_AT_ONCE 16

void model_expire(struct model *model) {
    struct deadline *due;

    for (int i = 0; i < EXPIRE_AT_ONCE && (due = deadlines_due(&model->deadlines, model->now_ms));
         i++) {
        struct fdset *set = list_object(due, struct fdset, deadline);
        deadline_stop(&model->deadlines, due);
        if (set->lifetime == LIFETIME_IDLE)
            set_clear(model, set);
        else
            set_orphan(model, set);
    }
}

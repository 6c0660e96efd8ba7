/* SPDX-License-Identifier: MIT */
/* The model as a whole: what is in it is found, told of, queued for work and freed. */
#include "model/model_private.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "containers/buckets.h"
#include "model/order.h"

/* Most labels are a few words. Both kinds have room for a label of every
 * member and two of every set, so that no add can fail for want of one. */
#define SHORT_LABEL_BYTES 32

int model_init(struct model *model, const struct limits *limits, uint32_t spare_members) {
    uint32_t members = limits->members + spare_members;
    uint32_t labels = members + 2 * limits->sets;

    *model = (struct model){.limits = *limits, .next_member = 1, .sweep_ms = UINT64_MAX};
    list_init(&model->sets);
    list_init(&model->unsettled);
    list_init(&model->changed);
    list_init(&model->unswept);
    if (slab_init(&model->set_slab, sizeof(struct fdset), limits->sets) < 0 ||
        slab_init(&model->member_slab, sizeof(struct member), members) < 0 ||
        slab_init(&model->lease_slab, sizeof(struct lease), limits->leases) < 0 ||
        slab_init(&model->hold_slab, sizeof(struct hold), limits->holds) < 0 ||
        slab_init(&model->short_label_slab, SHORT_LABEL_BYTES, labels) < 0 ||
        slab_init(&model->long_label_slab, FDSET_MAX_OPAQUE_BYTES + 1, labels) < 0 ||
        id_table_init(&model->sets_by_id, limits->sets, &model->set_slab,
                      offsetof(struct fdset, id), sizeof(uint32_t)) < 0 ||
        id_table_init(&model->sets_by_name, limits->sets, &model->set_slab,
                      offsetof(struct fdset, name_hash), sizeof(uint32_t)) < 0 ||
        id_table_init(&model->members_by_id, limits->members, &model->member_slab,
                      offsetof(struct member, id), sizeof(uint32_t)) < 0 ||
        id_table_init(&model->leases_by_id, limits->leases, &model->lease_slab,
                      offsetof(struct lease, id), sizeof(uint64_t)) < 0 ||
        deadlines_init(&model->deadlines, limits->sets) < 0) {
        model_destroy(model);
        return -ENOMEM;
    }
    return 0;
}

void model_destroy(struct model *model) {
    slab_destroy(&model->set_slab);
    slab_destroy(&model->member_slab);
    slab_destroy(&model->lease_slab);
    slab_destroy(&model->hold_slab);
    slab_destroy(&model->short_label_slab);
    slab_destroy(&model->long_label_slab);
    id_table_destroy(&model->sets_by_id);
    id_table_destroy(&model->sets_by_name);
    id_table_destroy(&model->members_by_id);
    id_table_destroy(&model->leases_by_id);
    deadlines_destroy(&model->deadlines);
    endpoints_destroy(&model->endpoints);
}

/* ----------------------------------------------------------------- looking */

struct fdset *model_find_set(const struct model *model, uint32_t id) {
    return id_table_find(&model->sets_by_id, id);
}

struct member *model_find_member(const struct model *model, uint32_t id) {
    return id_table_find(&model->members_by_id, id);
}

struct lease *model_find_lease(const struct model *model, uint64_t id) {
    return id_table_find(&model->leases_by_id, id);
}

/* Sets mostly come with ascending ids, so the search begins at the end. */
struct list *set_place(const struct model *model, uint32_t id) {
    struct list *place = (struct list *)&model->sets;
    while (place->previous != &model->sets &&
           list_object(place->previous, struct fdset, by_id)->id > id)
        place = place->previous;
    return place;
}

struct fdset *model_next_set(const struct model *model, uint32_t id) {
    struct fdset *here = model_find_set(model, id);
    struct list *next = here ? here->by_id.next : set_place(model, id);
    return next == &model->sets ? NULL : list_object(next, struct fdset, by_id);
}

enum member_state member_state(const struct member *member) {
    if (member->work & WORK_CLOSE)
        return MEMBER_CLOSING;
    return member->work & WORK_RESTORE ? MEMBER_SETTLING : member->state;
}

/* ------------------------------------------------------------------- names */

/* A manager that looks for names of one key slows down its own names only. */
struct fdset *model_find_name(const struct model *model, const char *name) {
    struct fdset *set = id_table_find(&model->sets_by_name, text_key(name));
    while (set && strcmp(set->name, name) != 0)
        set = set->same_hash;
    return set;
}

void name_add(struct model *model, struct fdset *set, const char *name) {
    set->name = label_copy(model, name);
    set->name_hash = text_key(name);
    set->same_hash = id_table_find(&model->sets_by_name, set->name_hash);
    if (set->same_hash)
        id_table_drop(&model->sets_by_name, set->same_hash);
    id_table_add(&model->sets_by_name, set);
}

static void name_drop(struct model *model, struct fdset *set) {
    if (!set->name)
        return;
    struct fdset *first = id_table_find(&model->sets_by_name, set->name_hash);

    if (first == set) {
        id_table_drop(&model->sets_by_name, set);
        if (set->same_hash)
            id_table_add(&model->sets_by_name, set->same_hash);
    } else {
        while (first->same_hash != set)
            first = first->same_hash;
        first->same_hash = set->same_hash;
    }
    label_free(model, set->name);
    set->name = NULL;
}

/* ------------------------------------------------------------------ labels */

static struct slab *label_slab(struct model *model, const char *text) {
    return strlen(text) < SHORT_LABEL_BYTES ? &model->short_label_slab : &model->long_label_slab;
}

char *label_copy(struct model *model, const char *text) {
    if (!text)
        return NULL;
    assert(strlen(text) <= FDSET_MAX_OPAQUE_BYTES);
    return strcpy(slab_take(label_slab(model, text)), text);
}

void label_free(struct model *model, char *label) {
    if (label)
        slab_give(label_slab(model, label), label);
}

void member_label(struct model *model, struct member *member, const char *text) {
    label_free(model, member->opaque);
    member->opaque = label_copy(model, text);
}

/* ------------------------------------------------------------------ events */

static void tell(struct model *model, struct event *event, const struct fdset *set) {
    event->has_set = true;
    event->set = set->id;
    event->reserved = set->reserved;
    model->tell(model, event);
}

static void tell_set(struct model *model, enum event_kind kind, const struct fdset *set) {
    if (model_tells(model, kind))
        tell(model, &(struct event){.kind = kind}, set);
}

void tell_member(struct model *model, enum event_kind kind, const struct member *member) {
    if (model_tells(model, kind))
        tell(model, &(struct event){.kind = kind, .member = member->id, .flags = member->flags},
             member->set);
}

/* On the path of every open not even the room for an event is made. */
static __attribute__((noinline)) void lease_tell(struct model *model, enum event_kind kind,
                                                 const struct lease *lease) {
    struct event event = {
        .kind = kind,
        .member = lease->member->id,
        .lease = lease->id,
        .flags = lease->flags,
        .connection = lease->holder->connection,
        .pid = lease->holder->pid,
        .endpoint = lease->holder->endpoint,
    };
    strcpy(event.name, lease->holder->name);
    tell(model, &event, lease->member->set);
}

void tell_lease(struct model *model, enum event_kind kind, const struct lease *lease) {
    if (model_tells(model, kind))
        lease_tell(model, kind, lease);
}

/* -------------------------------------------------------------------- work */

void member_queue(struct model *model, struct member *member, unsigned work) {
    if (member->set && work & ~member->work & WORK_CLOSE)
        member->set->closing_count++;
    member->work |= work;
    if ((member->work & ~member->working) && list_empty(&member->queue))
        list_append(&model->unsettled, &member->queue);
    member_moved(member);
}

void set_release(struct model *model, struct fdset *set) {
    if (set->member_count > 0 || set->hold_count > 0)
        return;
    tell_set(model, EVENT_SET_GONE, set);
    deadline_stop(&model->deadlines, &set->deadline);
    name_drop(model, set);
    label_free(model, set->owner);
    id_table_drop(&model->sets_by_id, set);
    list_remove(&set->by_id);
    slab_give(&model->set_slab, set);
}

static void member_free(struct model *model, struct member *member) {
    struct fdset *set = member->set;

    list_remove(&member->queue);
    list_remove(&member->changed);
    list_remove(&member->in_set);
    member_swept(model, member);
    assert(list_empty(&member->in_listed) && !member->in_order);
    member_label(model, member, NULL);
    if (set) {
        id_table_drop(&model->members_by_id, member);
        model->member_count--;
        set->member_count--;
        set->closing_count--;
    }
    slab_give(&model->member_slab, member);
    if (set)
        set_release(model, set);
}

void member_settled(struct model *model, struct member *member, unsigned done) {
    member->working &= ~done;
    member->work &= ~done;
    if (done & WORK_CLOSE) {
        member->fd = -1;
        member_free(model, member);
    } else {
        if (member->work)
            member_queue(model, member, 0);
        member_moved(member);
        if (done & WORK_RESTORE) {
            member->oldest_ms = UINT64_MAX;
            member_changed(model, member);
        }
    }
}

void member_swept(struct model *model, struct member *member) {
    if (list_empty(&member->unswept))
        return;
    list_remove(&member->unswept);
    if (--model->unswept_count == 0)
        model->sweep_ms = UINT64_MAX;
}

bool member_sweep_begin(struct model *model, struct member *member) {
    member_swept(model, member);
    if (member->lease_count > 0 || member->working & (WORK_RESTORE | WORK_CLOSE))
        return false;
    if (member->may_block || member->work & ~member->working) {
        member_queue(model, member, WORK_RESTORE);
        return false;
    }
    member->work |= WORK_RESTORE;
    member->working |= WORK_RESTORE;
    member_moved(member);
    return true;
}

void member_flags_set(struct member *member, int status) {
    member->status = status;
    member_moved(member);
}

void member_flags_seen(struct model *model, struct member *member, int status) {
    member_flags_set(member, status);
    member_changed(model, member);
}

struct member *member_offer(struct model *model, int fd) {
    struct member *member = slab_take(&model->member_slab);
    if (!member)
        return NULL;
    list_init(&member->in_set);
    list_init(&member->in_listed);
    list_init(&member->leases);
    list_init(&member->queue);
    list_init(&member->changed);
    list_init(&member->unswept);
    member->fd = fd;
    member->oldest_ms = UINT64_MAX;
    member->state = MEMBER_OFFERED;
    return member;
}

void member_discard(struct model *model, struct member *member) {
    assert(member->state == MEMBER_OFFERED);
    member_queue(model, member, WORK_CLOSE);
}

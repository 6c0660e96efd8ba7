/* SPDX-License-Identifier: MIT */
/* AddFds: everything is checked before anything is done, so that a request is
 * done whole or not at all. */
#include "model/lifetime.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "model/model_private.h"
#include "model/order.h"

static const char *lifetime_name(enum lifetime lifetime) {
    static const char *const names[] = {"any", "connection", "keep", "once", "idle"};
    return names[lifetime];
}

/* A member of the set that tells which file it is of: NULL where all were
 * removed, and the next may be of any. */
static const struct member *representative(const struct fdset *set) {
    return list_empty(&set->listed) ? NULL
                                    : list_object(set->listed.next, struct member, in_listed);
}

/* A device is what its number says, whatever its nodes are. */
static bool same_file(const struct member *one, const struct member *other) {
    if (member_is_device(one))
        return one->type == other->type && one->device_number == other->device_number;
    return one->device == other->device && one->inode == other->inode;
}

/* "inode 7 of device 8:1", "block device 254:0". */
static const char *file_name(const struct member *member, char *text, size_t size) {
    uint64_t device =
        device_unpack(member_is_device(member) ? member->device_number : member->device);

    if (member_is_device(member))
        snprintf(text, size, "%s device %u:%u", S_ISBLK(member->type) ? "block" : "character",
                 major(device), minor(device));
    else
        snprintf(text, size, "inode %llu of device %u:%u", (unsigned long long)member->inode,
                 major(device), minor(device));
    return text;
}

static int check_same_file(const struct new_members *addition, const struct member *first,
                           struct refusal *refusal) {
    char offered[64], had[64];

    for (uint32_t i = 0; i < addition->member_count; i++) {
        const struct member *member = addition->members[i];
        if (!same_file(member, first))
            return refuse(refusal, REFUSAL_OTHER_FILE, EXDEV,
                          "a set is of one file, unless it was made as mixed: the new member is "
                          "%s, the set has %s",
                          file_name(member, offered, sizeof(offered)),
                          file_name(first, had, sizeof(had)));
    }
    return 0;
}

/* To a manager that is bound to an endpoint no more is told than that it is there. */
static int check_seen(const struct fdset *set, const struct endpoint *bound,
                      struct refusal *refusal) {
    if (!set || set_is_seen(set, bound))
        return 0;
    return refuse(refusal, REFUSAL_NAME, EEXIST,
                  "the set's number or name is taken by one that is not for %s: choose another",
                  bound->name);
}

static int check_reserved(const struct new_members *addition, const struct owner *owner,
                          struct refusal *refusal) {
    const struct fdset *set = addition->target;

    if (owner->bound && addition->reserved && addition->reserved != owner->bound)
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL,
                      "this socket manages the sets for %s, and none for %s", owner->bound->name,
                      addition->reserved->name);
    if (set && addition->reserved && addition->reserved != set->reserved)
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL,
                      "set %u exists and is for %s: add to it with that, or with none given",
                      set->id, set->reserved ? set->reserved->name : "all");
    return 0;
}

/* Which set is meant: by id, by name, or both, which then must agree. */
static int find_target(const struct model *model, struct new_members *addition,
                       const struct endpoint *bound, struct refusal *refusal) {
    struct fdset *by_id = addition->has_set ? model_find_set(model, addition->set) : NULL;
    struct fdset *by_name = NULL;

    addition->target = by_id;
    if (addition->has_set && addition->set > INT_MAX)
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL, "set %d is out of range: 0 to %d",
                      (int)addition->set, INT_MAX);
    if (check_seen(by_id, bound, refusal) < 0)
        return -refusal->error;
    if (!addition->name)
        return 0;
    if (!set_name_is_valid(addition->name))
        return refuse(refusal, REFUSAL_NAME, EINVAL,
                      "not a name: 1 to %d bytes of UTF-8 without '/' and control characters, not "
                      "\".\" or \"..\" and not of digits alone: %s",
                      FDSET_MAX_SET_NAME_BYTES, addition->name);
    by_name = model_find_name(model, addition->name);
    if (check_seen(by_name, bound, refusal) < 0)
        return -refusal->error;
    if (!addition->has_set)
        addition->target = by_name;
    else if (by_name && by_name != by_id)
        return refuse(refusal, REFUSAL_NAME, EEXIST, "the name %s belongs to set %u",
                      addition->name, by_name->id);
    else if (by_id && by_id->name && strcmp(by_id->name, addition->name) != 0)
        return refuse(refusal, REFUSAL_NAME, EEXIST, "set %u has a name already: %s", by_id->id,
                      by_id->name);
    return 0;
}

static int check_lifetime(const struct new_members *addition, struct refusal *refusal) {
    const struct fdset *set = addition->target;

    if (set && addition->lifetime != LIFETIME_ANY && addition->lifetime != set->lifetime)
        return refuse(refusal, REFUSAL_LIFETIME, EINVAL,
                      "set %u exists with lifetime %s: add to it with that, or with none given",
                      set->id, lifetime_name(set->lifetime));
    if (!set && addition->lifetime == LIFETIME_IDLE && addition->idle_ms == 0)
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL,
                      "a set of lifetime idle needs its time: idle_ms is 0");
    return 0;
}

static int check_addition(const struct model *model, struct new_members *addition,
                          const struct owner *owner, struct refusal *refusal) {
    if (addition->member_count == 0)
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL, "nothing to add to the set");
    int result = find_target(model, addition, owner->bound, refusal);
    if (result == 0)
        result = check_lifetime(addition, refusal);
    if (result == 0)
        result = check_reserved(addition, owner, refusal);
    if (result < 0)
        return result;

    const struct fdset *set = addition->target;
    const struct member *first = set && !addition->replace ? representative(set) : NULL;
    if (set ? set->mixed : addition->mixed)
        return 0;
    return check_same_file(addition, first ? first : addition->members[0], refusal);
}

/* Ids are known by now, also those of sets that are yet to be made. */
static int check_twice(const struct new_members *one, const struct new_members *other,
                       struct refusal *refusal) {
    bool same_set = one->set == other->set;
    bool same_name = one->name && other->name && strcmp(one->name, other->name) == 0;

    if (same_set || same_name)
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL,
                      "one set stands twice in a request: put its members together");
    return 0;
}

static int check_room(const struct model *model, uint32_t new_sets, uint32_t new_members,
                      struct refusal *refusal) {
    if (new_sets > model->limits.sets - model->set_slab.used)
        return refuse(refusal, REFUSAL_LIMIT, ENOSPC,
                      "no room for %u more set%s, %u of %u are there: " LIMIT_RAISE("sets"),
                      new_sets, new_sets == 1 ? "" : "s", model->set_slab.used, model->limits.sets);
    if (new_members > UINT32_MAX - model->next_member)
        return refuse(refusal, REFUSAL_LIMIT, ENOSPC,
                      "the last member id has been used: start fdset-helper anew");
    uint32_t room = model->limits.members - model->member_count;
    if (new_members > room && model->limits.descriptors > 0)
        return refuse(refusal, REFUSAL_LIMIT, ENOSPC,
                      "no room for %u more member%s, %u of %u are there: " LIMIT_RAISE_DESCRIPTORS,
                      new_members, new_members == 1 ? "" : "s", model->member_count,
                      model->limits.members, model->limits.descriptors);
    if (new_members > room)
        return refuse(refusal, REFUSAL_LIMIT, ENOSPC,
                      "no room for %u more member%s, %u of %u are there: " LIMIT_RAISE("members"),
                      new_members, new_members == 1 ? "" : "s", model->member_count,
                      model->limits.members);
    return 0;
}

/* Gives every addition its set's id. The helper chooses ids never used before,
 * not even in this request: so those that the manager chose come first. */
static int assign_ids(const struct model *model, struct new_members *additions, uint32_t count,
                      struct refusal *refusal) {
    uint64_t next_set = model->next_set;

    for (uint32_t i = 0; i < count; i++)
        if (additions[i].has_set && additions[i].set >= next_set)
            next_set = (uint64_t)additions[i].set + 1;
    for (uint32_t i = 0; i < count; i++) {
        if (additions[i].target)
            additions[i].set = additions[i].target->id;
        else if (!additions[i].has_set)
            additions[i].set = (uint32_t)next_set++;
    }
    if (next_set > (uint64_t)INT_MAX + 1)
        return refuse(refusal, REFUSAL_LIMIT, ENOSPC,
                      "the last set id has been used: give an id of your own choice");
    return 0;
}

static int check_additions(const struct model *model, struct new_members *additions, uint32_t count,
                           const struct owner *owner, struct refusal *refusal) {
    uint32_t new_sets = 0, new_members = 0;
    int result = 0;

    for (uint32_t i = 0; i < count && result == 0; i++) {
        result = check_addition(model, &additions[i], owner, refusal);
        new_members += additions[i].member_count;
        new_sets += !additions[i].target;
    }
    if (result == 0)
        result = assign_ids(model, additions, count, refusal);
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t j = 0; j < i && result == 0; j++)
            result = check_twice(&additions[i], &additions[j], refusal);
    if (result < 0)
        return result;
    return check_room(model, new_sets, new_members, refusal);
}

/* ----------------------------------------------------------------- the deed */

static struct fdset *set_make(struct model *model, const struct new_members *addition,
                              const struct owner *owner) {
    struct fdset *set = slab_take(&model->set_slab);

    set->id = addition->set;
    set->lifetime = addition->lifetime == LIFETIME_ANY ? LIFETIME_CONNECTION : addition->lifetime;
    set->grace_ms = addition->grace_ms;
    set->idle_ms = addition->idle_ms;
    set->mixed = addition->mixed;
    set->reserved = addition->reserved ? addition->reserved : owner->bound;
    list_init(&set->members);
    list_init(&set->listed);
    list_init(&set->holds);
    list_insert(set_place(model, set->id), &set->by_id);
    id_table_add(&model->sets_by_id, set);
    return set;
}

/* A new set is its maker's, and one whose manager has gone is whose who adds to it. */
static void set_own(struct model *model, struct fdset *set, const struct owner *owner, bool made) {
    if (!made && (set->manager != 0 || !ends_with_manager(set)))
        return;
    deadline_stop(&model->deadlines, &set->deadline);
    label_free(model, set->owner);
    set->owner = label_copy(model, owner->label);
    set->owner_uid = owner->uid;
    set->manager = owner->manager;
    set->orphaned = false;
}

static void member_list(struct model *model, struct fdset *set, struct member *member,
                        const struct member *first) {
    member->id = model->next_member++;
    id_table_add(&model->members_by_id, member);
    member->set = set;
    member->state = MEMBER_LISTED;
    member->added_ms = model->now_ms;
    list_append(&set->members, &member->in_set);
    list_append(&set->listed, &member->in_listed);
    set->member_count++;
    set->listed_count++;
    set->mode_counts[member->flags & O_ACCMODE]++;
    set->read_count += member->serves_read_only && (member->flags & O_ACCMODE) == O_RDWR;
    order_begin(set);
    member_moved(member);
    model->member_count++;
    model->totals.added++;
    member_changed(model, member);
    /* What is of the same file is on the same file system. */
    if (first && first->device == member->device)
        member->may_block = first->may_block;
    else
        member_queue(model, member, WORK_INSPECT);
    tell_member(model, EVENT_ADDED, member);
}

static void add(struct model *model, struct new_members *addition, const struct owner *owner) {
    struct fdset *set = addition->target;
    bool made = !set;

    if (addition->set >= model->next_set)
        model->next_set = addition->set + 1;

    if (made)
        set = set_make(model, addition, owner);
    set_own(model, set, owner, made);
    set->spent = false;
    if (addition->name && !set->name) {
        name_add(model, set, addition->name);
        /* Whom an open by this name finds has been there for a while. */
        list_for_each (link, &set->listed)
            member_changed(model, list_object(link, struct member, in_listed));
    }
    const struct member *first = representative(set);
    if (addition->replace)
        set_clear(model, set);
    for (uint32_t i = 0; i < addition->member_count; i++) {
        member_list(model, set, addition->members[i], first);
        if (!first)
            first = addition->members[0];
    }
    set_rearm(model, set);
}

int model_add(struct model *model, struct new_members *additions, uint32_t count,
              const struct owner *owner, struct refusal *refusal) {
    int result = check_additions(model, additions, count, owner, refusal);
    if (result < 0)
        return result;
    for (uint32_t i = 0; i < count; i++)
        add(model, &additions[i], owner);
    return 0;
}

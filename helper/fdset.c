#include "fdset.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/sysmacros.h>

/* Most labels are a few words. Both kinds have room for a label of every
 * member, so that no add can fail for want of one. */
#define SHORT_LABEL_BYTES 32

int model_init(struct model *model, const struct limits *limits, uint32_t spare_members) {
    uint32_t members = limits->members + spare_members;

    *model = (struct model){.limits = *limits, .next_member = 1, .next_lease = 1};
    list_init(&model->sets);
    list_init(&model->unsettled);
    if (slab_init(&model->set_slab, sizeof(struct fdset), limits->sets) < 0 ||
        slab_init(&model->member_slab, sizeof(struct member), members) < 0 ||
        slab_init(&model->lease_slab, sizeof(struct lease), limits->leases) < 0 ||
        slab_init(&model->short_label_slab, SHORT_LABEL_BYTES, members) < 0 ||
        slab_init(&model->long_label_slab, OPAQUE_MAX_BYTES + 1, members) < 0 ||
        index_init(&model->set_index, limits->sets) < 0 ||
        index_init(&model->member_index, limits->members) < 0 ||
        index_init(&model->lease_index, limits->leases) < 0) {
        model_destroy(model);
        return -ENOMEM;
    }
    return 0;
}

void model_destroy(struct model *model) {
    slab_destroy(&model->set_slab);
    slab_destroy(&model->member_slab);
    slab_destroy(&model->lease_slab);
    slab_destroy(&model->short_label_slab);
    slab_destroy(&model->long_label_slab);
    index_destroy(&model->set_index);
    index_destroy(&model->member_index);
    index_destroy(&model->lease_index);
}

/* ----------------------------------------------------------------- looking */

static void *find(const struct index *index, const struct slab *slab, uint32_t id) {
    uint32_t number = index_find(index, id);
    return number == INDEX_NONE ? NULL : slab_at(slab, number);
}

struct fdset *model_find_set(const struct model *model, uint32_t id) {
    return find(&model->set_index, &model->set_slab, id);
}

struct member *model_find_member(const struct model *model, uint32_t id) {
    return find(&model->member_index, &model->member_slab, id);
}

struct lease *model_find_lease(const struct model *model, uint32_t id) {
    return find(&model->lease_index, &model->lease_slab, id);
}

/* The link before which a set of this id stands or would stand. Sets mostly
 * come with ascending ids, so the search begins at the end. */
static struct list *place_of_set(const struct model *model, uint32_t id) {
    struct list *place = (struct list *)&model->sets;
    while (place->previous != &model->sets &&
           list_object(place->previous, struct fdset, by_id)->id > id)
        place = place->previous;
    return place;
}

struct fdset *model_next_set(const struct model *model, uint32_t id) {
    struct fdset *here = model_find_set(model, id);
    struct list *next = here ? here->by_id.next : place_of_set(model, id);
    return next == &model->sets ? NULL : list_object(next, struct fdset, by_id);
}

enum member_state member_state(const struct member *member) {
    if (member->work & WORK_CLOSE)
        return MEMBER_CLOSING;
    return member->work & WORK_RESTORE ? MEMBER_SETTLING : member->state;
}

/* An id that names nothing now. After four thousand million, which a VMM that
 * does nothing but open reaches in a day, they begin again at 1. */
static uint32_t fresh_id(const struct index *index, uint32_t *next) {
    while (*next == 0 || index_find(index, *next) != INDEX_NONE)
        ++*next;
    return (*next)++;
}

/* -------------------------------------------------------------------- work */

static void member_queue(struct model *model, struct member *member, unsigned work) {
    member->work |= work;
    if ((member->work & ~member->working) && list_empty(&member->queue))
        list_append(&model->unsettled, &member->queue);
}

static void member_free(struct model *model, struct member *member) {
    struct fdset *set = member->set;

    list_remove(&member->queue);
    list_remove(&member->in_set);
    member_label(model, member, NULL);
    if (set) {
        index_drop(&model->member_index, member->id);
        model->member_count--;
        set->member_count--;
        if (set->member_count == 0) {
            index_drop(&model->set_index, set->id);
            list_remove(&set->by_id);
            slab_give(&model->set_slab, set);
        }
    }
    slab_give(&model->member_slab, member);
}

void member_settled(struct model *model, struct member *member, unsigned done) {
    member->working &= ~done;
    member->work &= ~done;
    if (done & WORK_RESTORE)
        member->status = member->flags & STATUS_SETTABLE;
    if (done & WORK_CLOSE) {
        member->fd = -1;
        member_free(model, member);
    } else {
        member_queue(model, member, 0);
    }
}

/* ------------------------------------------------------------------ adding */

struct member *member_offer(struct model *model, int fd) {
    struct member *member = slab_take(&model->member_slab);
    if (!member)
        return NULL;
    list_init(&member->in_set);
    list_init(&member->leases);
    list_init(&member->queue);
    member->fd = fd;
    member->state = MEMBER_OFFERED;
    return member;
}

void member_discard(struct model *model, struct member *member) {
    assert(member->state == MEMBER_OFFERED);
    member_queue(model, member, WORK_CLOSE);
}

static struct slab *label_slab(struct model *model, const char *text) {
    return strlen(text) < SHORT_LABEL_BYTES ? &model->short_label_slab : &model->long_label_slab;
}

void member_label(struct model *model, struct member *member, const char *text) {
    if (member->opaque)
        slab_give(label_slab(model, member->opaque), member->opaque);
    member->opaque = NULL;
    if (text) {
        assert(strlen(text) <= OPAQUE_MAX_BYTES);
        member->opaque = slab_take(label_slab(model, text));
        strcpy(member->opaque, text);
    }
}

static int check_same_file(const struct member *first, const struct member *second, uint32_t set,
                           struct refusal *refusal) {
    if (first->device == second->device && first->inode == second->inode)
        return 0;
    return refuse(refusal, REFUSAL_OTHER_FILE, EXDEV,
                  "a set holds descriptors of one file: what was offered for set %u is inode %llu "
                  "of device %u:%u, the set's is inode %llu of device %u:%u",
                  set, (unsigned long long)second->inode, major(second->device),
                  minor(second->device), (unsigned long long)first->inode, major(first->device),
                  minor(first->device));
}

/* A member of the set that tells which file it is of. */
static const struct member *representative(const struct fdset *set) {
    return list_object(set->members.next, struct member, in_set);
}

static int check_addition(const struct model *model, const struct addition *addition,
                          uint32_t *next_set, uint32_t *new_sets, struct refusal *refusal) {
    struct fdset *set = addition->has_set ? model_find_set(model, addition->set) : NULL;

    if (addition->has_set && addition->set > INT_MAX)
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL, "set %d is out of range: 0 to %d",
                      (int)addition->set, INT_MAX);
    if (addition->member_count == 0)
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL, "nothing to add to the set");
    if (!addition->has_set && *next_set > INT_MAX)
        return refuse(refusal, REFUSAL_LIMIT, ENOSPC,
                      "the last set id has been used: give an id of your own choice");
    if (set && addition->lifetime != LIFETIME_ANY && addition->lifetime != set->lifetime)
        return refuse(refusal, REFUSAL_LIFETIME, EINVAL,
                      "set %u exists with lifetime %s: add to it with that, or with none given",
                      set->id, set->lifetime == LIFETIME_KEEP ? "keep" : "connection");

    const struct member *first = set ? representative(set) : addition->members[0];
    for (uint32_t i = 0; i < addition->member_count; i++) {
        int result = check_same_file(first, addition->members[i], addition->set, refusal);
        if (result < 0)
            return result;
    }
    *new_sets += !set;
    if (!addition->has_set)
        *next_set += 1;
    else if (addition->set >= *next_set)
        *next_set = addition->set + 1;
    return 0;
}

/* The whole request must fit before anything of it is done. */
static int check_additions(const struct model *model, const struct addition *additions,
                           uint32_t count, struct refusal *refusal) {
    uint32_t next_set = model->next_set, new_sets = 0, new_members = 0;

    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < i; j++)
            if (additions[i].has_set && additions[j].has_set &&
                additions[i].set == additions[j].set)
                return refuse(refusal, REFUSAL_ARGUMENT, EINVAL,
                              "set %u stands twice in one request: put its members together",
                              additions[i].set);
        int result = check_addition(model, &additions[i], &next_set, &new_sets, refusal);
        if (result < 0)
            return result;
        new_members += additions[i].member_count;
    }
    if (new_sets > model->limits.sets - model->set_slab.used)
        return refuse(refusal, REFUSAL_LIMIT, ENOSPC,
                      "no room for %u more sets: %u of %u are there (--limit sets=N)", new_sets,
                      model->set_slab.used, model->limits.sets);
    if (new_members > model->limits.members - model->member_count)
        return refuse(refusal, REFUSAL_LIMIT, ENOSPC,
                      "no room for %u more members: %u of %u are there (--limit members=N)",
                      new_members, model->member_count, model->limits.members);
    return 0;
}

static struct fdset *set_make(struct model *model, const struct addition *addition,
                              uint32_t manager) {
    struct fdset *set = slab_take(&model->set_slab);
    set->id = addition->set;
    set->manager = manager;
    set->lifetime = addition->lifetime == LIFETIME_ANY ? LIFETIME_CONNECTION : addition->lifetime;
    list_init(&set->members);
    list_insert(place_of_set(model, set->id), &set->by_id);
    index_add(&model->set_index, set->id, slab_number(&model->set_slab, set));
    return set;
}

static void member_list(struct model *model, struct fdset *set, struct member *member,
                        uint64_t now_ms) {
    member->id = fresh_id(&model->member_index, &model->next_member);
    member->set = set;
    member->state = MEMBER_LISTED;
    member->added_ms = now_ms;
    list_append(&set->members, &member->in_set);
    index_add(&model->member_index, member->id, slab_number(&model->member_slab, member));
    set->member_count++;
    model->member_count++;
}

int model_add(struct model *model, struct addition *additions, uint32_t count, uint32_t manager,
              uint64_t now_ms, struct refusal *refusal) {
    int result = check_additions(model, additions, count, refusal);
    if (result < 0)
        return result;

    for (uint32_t i = 0; i < count; i++) {
        struct addition *addition = &additions[i];
        /* Never the same id twice, not even one that a manager chose before. */
        if (!addition->has_set)
            addition->set = model->next_set;
        if (addition->set >= model->next_set)
            model->next_set = addition->set + 1;
        struct fdset *set = model_find_set(model, addition->set);
        bool is_new = !set;
        if (is_new)
            set = set_make(model, addition, manager);
        /* Whoever adds to a set whose manager has gone takes it over. */
        if (set->orphaned) {
            set->manager = manager;
            set->orphaned = false;
        }
        for (uint32_t j = 0; j < addition->member_count; j++)
            member_list(model, set, addition->members[j], now_ms);
        /* All members are of one file, so one speaks for the file system. */
        if (is_new)
            member_queue(model, addition->members[0], WORK_INSPECT);
        else
            for (uint32_t j = 0; j < addition->member_count; j++)
                addition->members[j]->may_block = representative(set)->may_block;
    }
    return 0;
}

/* ---------------------------------------------------------------- removing */

static void member_remove(struct model *model, struct member *member) {
    if (member->state == MEMBER_REMOVED)
        return;
    member->state = MEMBER_REMOVED;
    if (member->lease_count == 0)
        member_queue(model, member, WORK_CLOSE);
}

int model_remove(struct model *model, uint32_t id, uint32_t only, struct refusal *refusal) {
    struct fdset *set = model_find_set(model, id);
    struct member *chosen = only ? model_find_member(model, only) : NULL;
    int removed = 0;

    if (!set)
        return refuse(refusal, REFUSAL_NO_SET, ENOENT, "there is no set %u", id);
    if (only && (!chosen || chosen->set != set))
        return refuse(refusal, REFUSAL_NO_MEMBER, ENOENT, "set %u has no member %u", id, only);
    list_for_each (link, &set->members) {
        struct member *member = list_object(link, struct member, in_set);
        if ((chosen && member != chosen) || member->state == MEMBER_REMOVED)
            continue;
        member_remove(model, member);
        removed++;
    }
    return removed;
}

void model_manager_gone(struct model *model, uint32_t manager) {
    list_for_each (set_link, &model->sets) {
        struct fdset *set = list_object(set_link, struct fdset, by_id);
        if (set->manager != manager || set->lifetime != LIFETIME_CONNECTION)
            continue;
        set->orphaned = true;
        list_for_each (link, &set->members) {
            struct member *member = list_object(link, struct member, in_set);
            if (member->lease_count == 0)
                member_remove(model, member);
        }
    }
}

/* ------------------------------------------------------------------ leases */

void holder_init(struct holder *holder, uint32_t connection, pid_t pid) {
    *holder = (struct holder){.connection = connection, .pid = pid};
    list_init(&holder->leases);
}

struct lease *lease_open(struct model *model, struct holder *holder, struct member *member,
                         int flags, uint64_t now_ms, struct refusal *refusal) {
    assert(member->state == MEMBER_LISTED && !member_settling(member));
    if (holder->lease_count >= model->limits.leases_per_vmm) {
        refuse(refusal, REFUSAL_LIMIT, ENFILE,
               "this VMM holds %u leases, as many as it may (--limit leases-per-vmm=N)",
               holder->lease_count);
        return NULL;
    }
    struct lease *lease = slab_take(&model->lease_slab);
    if (!lease) {
        refuse(refusal, REFUSAL_LIMIT, ENFILE, "all %u leases are given out (--limit leases=N)",
               model->limits.leases);
        return NULL;
    }
    lease->id = fresh_id(&model->lease_index, &model->next_lease);
    lease->member = member;
    lease->holder = holder;
    lease->flags = flags;
    lease->opened_ms = now_ms;
    list_append(&member->leases, &lease->in_member);
    list_append(&holder->leases, &lease->in_holder);
    index_add(&model->lease_index, lease->id, slab_number(&model->lease_slab, lease));
    member->lease_count++;
    holder->lease_count++;
    return lease;
}

struct lease *lease_find(const struct model *model, const struct holder *holder, uint32_t id) {
    struct lease *lease = model_find_lease(model, id);
    return lease && lease->holder == holder ? lease : NULL;
}

void lease_end(struct model *model, struct lease *lease) {
    struct member *member = lease->member;

    list_remove(&lease->in_member);
    list_remove(&lease->in_holder);
    index_drop(&model->lease_index, lease->id);
    lease->holder->lease_count--;
    slab_give(&model->lease_slab, lease);
    if (--member->lease_count > 0)
        return;
    if (member->set->orphaned)
        member->state = MEMBER_REMOVED;
    member_queue(model, member, WORK_RESTORE | (member->state == MEMBER_REMOVED ? WORK_CLOSE : 0));
}

void holder_end(struct model *model, struct holder *holder) {
    list_for_each_safe (link, &holder->leases) {
        lease_end(model, list_object(link, struct lease, in_holder));
        model->totals.hangups++;
    }
}

/* ------------------------------------------------------------------- check */

static void check_member(const struct model *model, const struct member *member) {
    uint32_t leases = 0;
    list_for_each (link, &member->leases) {
        const struct lease *lease = list_object(link, struct lease, in_member);
        assert(lease->member == member && model_find_lease(model, lease->id) == lease);
        leases++;
    }
    assert(leases == member->lease_count);
    assert(model_find_member(model, member->id) == member);
    assert(member->fd >= 0);
    assert(leases == 0 || !member_settling(member));
    assert(leases > 0 || member->state == MEMBER_LISTED || member->work & WORK_CLOSE);
    assert(!member->work || member->working || !list_empty(&member->queue));
}

void model_check(const struct model *model) {
    uint32_t sets = 0, members = 0, leases = 0;
    int64_t last_id = -1;

    list_for_each (set_link, &model->sets) {
        const struct fdset *set = list_object(set_link, struct fdset, by_id);
        uint32_t here = 0;
        assert((int64_t)set->id > last_id && model_find_set(model, set->id) == set);
        last_id = set->id;
        list_for_each (link, &set->members) {
            const struct member *member = list_object(link, struct member, in_set);
            assert(member->set == set);
            check_member(model, member);
            leases += member->lease_count;
            here++;
        }
        assert(here == set->member_count && here > 0);
        members += here;
        sets++;
    }
    assert(sets == model->set_slab.used);
    assert(members == model->member_count);
    assert(leases == model->lease_slab.used);
}

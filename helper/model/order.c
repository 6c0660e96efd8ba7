/* SPDX-License-Identifier: MIT */
/* A treap of members. */
#include "model/order.h"

/* From the uppermost bit of a group downwards. */
#define USE_SHIFT    61
#define CLASS_SHIFT  55
#define WAITS_SHIFT  54
#define STATUS_SHIFT 51

static_assert(sizeof(void *) <= 8, "a holder is a pointer of fewer bits than STATUS_SHIFT");

int felt_of(bool writes, bool waits) {
    return O_DIRECT | (writes ? O_APPEND : 0) | (waits ? O_NONBLOCK : 0);
}

int felt_flags(const struct member *member) {
    bool waits = member->type == S_IFIFO || member->type == S_IFCHR || member->type == S_IFSOCK;

    return felt_of((member->flags & O_ACCMODE) != O_RDONLY, waits);
}

uint64_t order_class(int flags, bool serves_read_only) {
    bool sync = (flags & O_SYNC & ~O_DSYNC), dsync = flags & O_DSYNC, direct = flags & O_DIRECT;
    unsigned mode = flags & O_ACCMODE;

    return (uint64_t)(mode | (serves_read_only && mode == O_RDWR) << 2 | sync << 3 | dsync << 4 |
                      direct << 5)
           << CLASS_SHIFT;
}

uint64_t order_group(enum use use, uint64_t class, bool waits, int status,
                     const struct holder *holder) {
    uint64_t direct = !!(status & O_DIRECT), append = !!(status & O_APPEND);
    uint64_t bits = direct | append << 1 | (uint64_t) !!(status & O_NONBLOCK) << 2;

    return (uint64_t)use << USE_SHIFT | class | (uint64_t)waits << WAITS_SHIFT |
           bits << STATUS_SHIFT | (uint64_t)(uintptr_t)holder;
}

uint64_t order_of(const struct member *member) {
    static const enum use uses[] = {[SHARING_ONE_VMM] = USE_ONE_VMM,
                                    [SHARING_EXCLUSIVE] = USE_EXCLUSIVE,
                                    [SHARING_SHARED] = USE_SHARED};
    uint64_t class = order_class(member->flags, member->serves_read_only);

    if (member->lease_count == 0)
        return order_group(member_settling(member) ? USE_SETTLING : USE_FREE, class, false, 0,
                           NULL);
    int felt = felt_flags(member);
    return order_group(uses[member->sharing], class, felt & O_NONBLOCK, member->status & felt,
                       member->sharing == SHARING_ONE_VMM ? member_first_lease(member)->holder
                                                          : NULL);
}

/* ------------------------------------------------------------------- the treap */

/* No two ids have the same. */
static uint32_t priority(const struct member *member) {
    uint32_t mixed = member->id;

    mixed = (mixed ^ mixed >> 16) * 0x85ebca6b;
    mixed = (mixed ^ mixed >> 13) * 0xc2b2ae35;
    return mixed ^ mixed >> 16;
}

/* Whether the member comes before this place. */
static bool is_before(const struct member *member, uint64_t group, uint32_t id) {
    return member->group != group ? member->group < group : member->id < id;
}

static void insert(struct fdset *set, struct member *member) {
    struct member **link = &set->order, **before = &member->before, **after = &member->after;

    while (*link && priority(*link) > priority(member))
        link = is_before(*link, member->group, member->id) ? &(*link)->after : &(*link)->before;
    struct member *rest = *link;
    *link = member;
    /* What was there is divided. */
    while (rest) {
        if (is_before(rest, member->group, member->id)) {
            *before = rest;
            before = &rest->after;
            rest = rest->after;
        } else {
            *after = rest;
            after = &rest->before;
            rest = rest->before;
        }
    }
    *before = *after = NULL;
}

static void take_out(struct fdset *set, struct member *member) {
    struct member **link = &set->order, *before = member->before, *after = member->after;

    while (*link != member)
        link = is_before(*link, member->group, member->id) ? &(*link)->after : &(*link)->before;
    /* What was below is joined. */
    while (before && after) {
        if (priority(before) > priority(after)) {
            *link = before;
            link = &before->after;
            before = before->after;
        } else {
            *link = after;
            link = &after->before;
            after = after->before;
        }
    }
    *link = before ? before : after;
}

/* The last that does not come after the end of the group. */
static struct member *last_until(const struct fdset *set, uint64_t group) {
    struct member *found = NULL, *member = set->order;

    while (member) {
        if (member->group <= group) {
            found = member;
            member = member->after;
        } else {
            member = member->before;
        }
    }
    return found;
}

struct member *order_newest(const struct fdset *set, uint64_t group) {
    struct member *member = last_until(set, group);

    return member && member->group == group ? member : NULL;
}

struct member *order_any(const struct fdset *set, enum use use, uint64_t class) {
    uint64_t rest = (UINT64_C(1) << CLASS_SHIFT) - 1;
    uint64_t group = order_group(use, class, false, 0, NULL);
    struct member *member = last_until(set, group | rest);

    return member && (member->group & ~rest) == group ? member : NULL;
}

struct member *order_unused(const struct fdset *set) {
    struct member *member = set->order;

    while (member && member->before)
        member = member->before;
    return member && member->lease_count == 0 ? member : NULL;
}

void order_update(struct member *member) {
    struct fdset *set = member->set;
    bool listed = member->state == MEMBER_LISTED;
    uint64_t group = listed ? order_of(member) : 0;

    if (member->in_order && listed && member->group == group)
        return;
    if (member->in_order)
        take_out(set, member);
    member->in_order = listed;
    member->group = group;
    if (listed)
        insert(set, member);
}

void order_begin(struct fdset *set) {
    if (set->ordered || set->member_count <= ORDER_FROM)
        return;
    set->ordered = true;
    list_for_each (link, &set->listed)
        order_update(list_object(link, struct member, in_listed));
}

void order_check(const struct fdset *set) {
    uint32_t listed = 0;

    list_for_each (link, &set->listed) {
        const struct member *member = list_object(link, struct member, in_listed);
        assert(member->state == MEMBER_LISTED);
        listed++;
        if (!set->ordered)
            continue;
        assert(member->in_order && member->group == order_of(member));
        assert(!member->before || priority(member->before) < priority(member));
        assert(!member->after || priority(member->after) < priority(member));
        const struct member *at = set->order;
        while (at && at != member)
            at = is_before(at, member->group, member->id) ? at->after : at->before;
        assert(at == member);
    }
    assert(listed == set->listed_count);
    assert(listed > 0 || !set->order);
}

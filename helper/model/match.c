/* SPDX-License-Identifier: MIT */
/* Which member serves an open. QEMU takes the newest member of the right mode and
 * gives up if anything else is wrong with it; here all members are weighed, and the
 * refusal tells of the one that came nearest. */
#include "model/lease.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "model/order.h"

/* What keeps a member from serving, the nearer to success the higher. */
enum fitness {
    FIT_REMOVED,
    FIT_OTHER_MODE,
    FIT_OTHER_SYNC,
    FIT_BUSY,       /* its sharing rule */
    FIT_BUSY_FLAGS, /* a flag would have to change under a lease */
    FIT_IN_SETTLING,
    FIT_SERVES,
};

static bool mode_serves(const struct member *member, int flags) {
    int has = member->flags & O_ACCMODE, wanted = flags & O_ACCMODE;
    return has == wanted || (member->serves_read_only && has == O_RDWR && wanted == O_RDONLY);
}

/* The lease that stands in the way by the member's sharing rule, or NULL. Who shares a
 * description shares its locks too: an unlock by the one takes the other's. Hence all leases
 * of a member are one VMM's, unless the manager wants it otherwise. */
static const struct lease *sharing_conflict(const struct member *member,
                                            const struct holder *holder) {
    if (member->lease_count == 0 || member->sharing == SHARING_SHARED)
        return NULL;
    const struct lease *first = member_first_lease(member);
    return member->sharing == SHARING_EXCLUSIVE || first->holder != holder ? first : NULL;
}

int match_status(const struct member *member, int flags) {
    return (flags & STATUS_SETTABLE) | (member->flags & member->status & O_NOATIME);
}

/* Those of them that an open with `flags` would have to change under a lease. */
static int flags_conflict(const struct member *member, int flags) {
    return member->lease_count > 0 ? (member->status ^ flags) & felt_flags(member) : 0;
}

static inline enum fitness weigh(const struct member *member, const struct holder *holder,
                                 int flags, const struct lease **obstacle) {
    *obstacle = NULL;
    if (member->state != MEMBER_LISTED)
        return FIT_REMOVED;
    if (!mode_serves(member, flags))
        return FIT_OTHER_MODE;
    if ((member->flags & STATUS_SYNC) != (flags & STATUS_SYNC))
        return FIT_OTHER_SYNC;
    if ((*obstacle = sharing_conflict(member, holder)))
        return FIT_BUSY;
    if (flags_conflict(member, flags)) {
        *obstacle = member_first_lease(member);
        return FIT_BUSY_FLAGS;
    }
    return member_settling(member) ? FIT_IN_SETTLING : FIT_SERVES;
}

bool match_serves(const struct member *member, const struct holder *holder, int flags) {
    const struct lease *in_the_way;

    return weigh(member, holder, flags, &in_the_way) == FIT_SERVES;
}

/* Whether `member` serves better than `best`, which is older. */
static bool better(const struct member *member, const struct member *best, int flags) {
    bool member_direct = !((member->flags ^ flags) & O_DIRECT);
    bool best_direct = !((best->flags ^ flags) & O_DIRECT);
    if (member_direct != best_direct)
        return member_direct;
    if (!member->lease_count != !best->lease_count)
        return !member->lease_count;
    return true;
}

static const char *mode_name(int flags) {
    switch (flags & O_ACCMODE) {
    case O_RDONLY:
        return "read-only";
    case O_WRONLY:
        return "write-only";
    }
    return "read-write";
}

/* "read-only and read-write", of the members that may be opened. */
static const char *modes_there(const struct fdset *set, char *text, size_t size) {
    text[0] = '\0';
    for (int mode = O_RDONLY; mode <= O_RDWR; mode++) {
        size_t used = strlen(text);
        if (set->mode_counts[mode] > 0)
            snprintf(text + used, size - used, "%s%s", used ? " and " : "", mode_name(mode));
    }
    return text;
}

/* The first of the flags that stand in the way, and whether the member lacks it. */
static const char *flag_in_the_way(const struct member *member, int flags) {
    int changes = flags_conflict(member, flags), lacks = changes & flags;

    if (changes & O_DIRECT)
        return lacks & O_DIRECT ? "without O_DIRECT" : "with O_DIRECT";
    if (changes & O_APPEND)
        return lacks & O_APPEND ? "without O_APPEND" : "with O_APPEND";
    return lacks & O_NONBLOCK ? "without O_NONBLOCK" : "with O_NONBLOCK";
}

/* On its own, so that an open that succeeds makes no room for these texts. */
static __attribute__((noinline)) int explain(const struct fdset *set, const struct holder *holder,
                                             enum fitness nearest, const struct lease *obstacle,
                                             int flags, struct refusal *refusal) {
    char modes[64], who[WHO_BYTES];

    switch (nearest) {
    case FIT_REMOVED:
        return refuse(refusal, REFUSAL_EMPTY_SET, EACCES,
                      "set %u has no member left: all were removed", set->id);
    case FIT_OTHER_MODE:
        if ((flags & O_ACCMODE) == O_ACCMODE) /* which Linux has, to ask a device only */
            return refuse(refusal, REFUSAL_MODE, EACCES,
                          "no member has access mode 3, which is for neither reading nor "
                          "writing: open for one or both");
        return refuse(refusal, REFUSAL_MODE, EACCES, "set %u has no %s member, only %s: add one",
                      set->id, mode_name(flags), modes_there(set, modes, sizeof(modes)));
    case FIT_OTHER_SYNC:
        return refuse(refusal, REFUSAL_SYNC, EINVAL,
                      "set %u has no %s member with%s O_SYNC and with%s O_DSYNC: open one so and "
                      "add it",
                      set->id, mode_name(flags), (flags & O_SYNC) == O_SYNC ? "" : "out",
                      flags & O_DSYNC ? "" : "out");
    case FIT_BUSY_FLAGS:
        refuse(refusal, REFUSAL_BUSY, EBUSY,
               "set %u: the %s member is open in %s %s, which no other open may change: add "
               "another member",
               set->id, mode_name(flags), lease_who(obstacle, holder, who),
               flag_in_the_way(obstacle->member, flags));
        break;
    default:
        refuse(refusal, REFUSAL_BUSY, EBUSY,
               "set %u: the %s member is held by %s: add a member for this VMM", set->id,
               mode_name(flags), lease_who(obstacle, holder, who));
    }
    refusal->lease = obstacle->id;
    return -refusal->error;
}

/* Says what was found. */
static inline int conclude(const struct fdset *set, const struct holder *holder, int flags,
                           struct member *best, enum fitness nearest, const struct lease *obstacle,
                           struct match *match, struct refusal *refusal) {
    *match = (struct match){.member = best,
                            .set_flags = nearest == FIT_SERVES && best->lease_count == 0 &&
                                         best->status != match_status(best, flags),
                            .settling = nearest == FIT_IN_SETTLING};
    return nearest < FIT_IN_SETTLING ? explain(set, holder, nearest, obstacle, flags, refusal) : 0;
}

/* ------------------------------------------------------------------ large sets */

/* The classes of members that serve an open in mode and O_SYNC. */
struct classes {
    struct {
        uint64_t key;
        bool writes;
    } all[2];
    int count;
};

/* Those whose O_DIRECT agrees, or those whose does not. */
static struct classes classes_of(int flags, bool agrees) {
    int mode = flags & O_ACCMODE;
    int rest = (flags & STATUS_SYNC) | (agrees ? flags & O_DIRECT : ~flags & O_DIRECT);

    if (mode == O_RDONLY)
        return (struct classes){{{order_class(O_RDONLY | rest, false), false},
                                 {order_class(O_RDWR | rest, true), true}},
                                2};
    return (struct classes){
        {{order_class(mode | rest, false), true}, {order_class(mode | rest, true), true}},
        mode == O_RDWR ? 2 : 1};
}

static void take_newer(struct member **newest, struct member *member) {
    if (member && (!*newest || member->id > (*newest)->id))
        *newest = member;
}

/* Of those without a lease. */
static struct member *newest_unused(const struct fdset *set, enum use use,
                                    const struct classes *classes) {
    struct member *newest = NULL;

    for (int i = 0; i < classes->count; i++)
        take_newer(&newest,
                   order_newest(set, order_group(use, classes->all[i].key, false, 0, NULL)));
    return newest;
}

/* Of those that the holder may have one more lease of, and whose flags agree, or do not. */
static struct member *newest_used(const struct fdset *set, const struct holder *holder, int flags,
                                  bool agree, const struct classes *classes) {
    struct member *newest = NULL;

    for (int i = 0; i < 2 * classes->count; i++) {
        uint64_t class = classes->all[i / 2].key;
        bool waits = i % 2;
        int felt = felt_of(classes->all[i / 2].writes, waits), status = felt;

        do {
            if (!((status ^ flags) & felt) == agree) {
                take_newer(&newest,
                           order_newest(set, order_group(USE_SHARED, class, waits, status, NULL)));
                take_newer(&newest, order_newest(set, order_group(USE_ONE_VMM, class, waits, status,
                                                                  holder)));
            }
            status = (status - 1) & felt; /* each part of `felt` once */
        } while (status != felt);
    }
    return newest;
}

static struct member *any_of_others(const struct fdset *set, const struct classes *classes) {
    struct member *member = NULL;

    for (int i = 0; i < classes->count && !member; i++) {
        member = order_any(set, USE_ONE_VMM, classes->all[i].key);
        if (!member)
            member = order_any(set, USE_EXCLUSIVE, classes->all[i].key);
    }
    return member;
}

static enum fitness fit_none(const struct fdset *set, int flags) {
    int mode = flags & O_ACCMODE;

    if (set->listed_count == 0)
        return FIT_REMOVED;
    bool mode_is_there =
        mode != O_ACCMODE && (set->mode_counts[mode] > 0 || (mode == O_RDONLY && set->read_count));
    return mode_is_there ? FIT_OTHER_SYNC : FIT_OTHER_MODE;
}

/* As match_member() does it by a look at each, by the order in which the members of a large set stand: from what is wanted
 * most to what is farthest from it. Of those that others have it takes any: it only has to tell
 * who is in the way. */
static __attribute__((noinline)) int match_many(const struct fdset *set,
                                                const struct holder *holder, int flags,
                                                struct match *match, struct refusal *refusal) {
    enum fitness nearest = FIT_SERVES;
    const struct classes both[] = {classes_of(flags, true), classes_of(flags, false)};
    struct member *member = NULL;

    for (int i = 0; i < 2 && !member; i++) {
        nearest = FIT_SERVES;
        member = newest_unused(set, USE_FREE, &both[i]);
        if (!member)
            member = newest_used(set, holder, flags, true, &both[i]);
    }
    for (int i = 0; i < 2 && !member; i++) {
        nearest = FIT_IN_SETTLING;
        member = newest_unused(set, USE_SETTLING, &both[i]);
    }
    for (int i = 0; i < 2 && !member; i++) {
        nearest = FIT_BUSY_FLAGS;
        member = newest_used(set, holder, flags, false, &both[i]);
    }
    for (int i = 0; i < 2 && !member; i++) {
        nearest = FIT_BUSY;
        member = any_of_others(set, &both[i]);
    }
    if (!member)
        nearest = fit_none(set, flags);
    const struct lease *obstacle =
        member && nearest < FIT_IN_SETTLING ? member_first_lease(member) : NULL;
    return conclude(set, holder, flags, member, nearest, obstacle, match, refusal);
}

int match_member(const struct fdset *set, const struct holder *holder, int flags,
                 struct match *match, struct refusal *refusal) {
    struct member *best = NULL;
    enum fitness nearest = FIT_REMOVED;
    const struct lease *obstacle = NULL;

    *match = (struct match){0};
    if (set->spent)
        return refuse(refusal, REFUSAL_EMPTY_SET, EACCES,
                      "set %u was for one open, which has taken place", set->id);
    if (set->ordered)
        return match_many(set, holder, flags, match, refusal);
    list_for_each (link, &set->listed) {
        struct member *member = list_object(link, struct member, in_listed);
        const struct lease *in_the_way;
        enum fitness fitness = weigh(member, holder, flags, &in_the_way);
        if (fitness > nearest || (fitness == nearest && (!best || better(member, best, flags)))) {
            nearest = fitness;
            obstacle = in_the_way;
            best = member;
        }
    }
    return conclude(set, holder, flags, best, nearest, obstacle, match, refusal);
}

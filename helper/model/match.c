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

/* The flags that cannot change without a lease's reads and writes noticing. */
static int felt_flags(const struct member *member) {
    bool waits = member->type == S_IFIFO || member->type == S_IFCHR || member->type == S_IFSOCK;
    bool writes = (member->flags & O_ACCMODE) != O_RDONLY;
    return O_DIRECT | (writes ? O_APPEND : 0) | (waits ? O_NONBLOCK : 0);
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
    unsigned seen = 0;

    text[0] = '\0';
    list_for_each (link, &set->members) {
        const struct member *member = list_object(link, struct member, in_set);
        unsigned bit = 1u << (member->flags & O_ACCMODE);
        if (member->state != MEMBER_LISTED || seen & bit)
            continue;
        size_t used = strlen(text);
        snprintf(text + used, size - used, "%s%s", seen ? " and " : "", mode_name(member->flags));
        seen |= bit;
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

int match_member(const struct fdset *set, const struct holder *holder, int flags,
                 struct match *match, struct refusal *refusal) {
    struct member *best = NULL;
    enum fitness nearest = FIT_REMOVED;
    const struct lease *obstacle = NULL;

    *match = (struct match){0};
    if (set->spent)
        return refuse(refusal, REFUSAL_EMPTY_SET, EACCES,
                      "set %u was for one open, which has taken place", set->id);
    list_for_each (link, &set->members) {
        struct member *member = list_object(link, struct member, in_set);
        const struct lease *in_the_way;
        enum fitness fitness = weigh(member, holder, flags, &in_the_way);
        if (fitness > nearest || (fitness == nearest && (!best || better(member, best, flags)))) {
            nearest = fitness;
            obstacle = in_the_way;
            best = member;
        }
    }
    *match = (struct match){.member = best,
                            .set_flags = nearest == FIT_SERVES && best->lease_count == 0 &&
                                         best->status != match_status(best, flags),
                            .settling = nearest == FIT_IN_SETTLING};
    return nearest < FIT_IN_SETTLING ? explain(set, holder, nearest, obstacle, flags, refusal) : 0;
}

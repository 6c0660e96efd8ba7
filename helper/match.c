/* Which member serves an open: DESIGN 4.3 points 2 to 5. QEMU takes the newest
 * member of the right mode and gives up if anything else is wrong with it;
 * here all members are weighed, and the refusal tells of the one that came
 * nearest. */
#include "fdset.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* What keeps a member from serving, the nearer to success the higher. */
enum fitness {
    FIT_REMOVED,
    FIT_OTHER_MODE,
    FIT_OTHER_SYNC,
    FIT_BUSY,       /* its sharing rule */
    FIT_BUSY_FLAGS, /* flags that must change, but another VMM has them so */
    FIT_IN_SETTLING,
    FIT_SERVES,
};

static bool mode_serves(const struct member *member, int flags) {
    int has = member->flags & O_ACCMODE, wanted = flags & O_ACCMODE;
    return has == wanted || (member->serves_read_only && has == O_RDWR && wanted == O_RDONLY);
}

/* Another VMM's lease of the member, or NULL. */
static const struct lease *foreign_lease(const struct member *member, const struct holder *holder) {
    if (member->lease_count == 0 ||
        (!member->several_holders && member_first_lease(member)->holder == holder))
        return NULL;
    list_for_each (link, &member->leases) {
        const struct lease *lease = list_object(link, struct lease, in_member);
        if (lease->holder != holder)
            return lease;
    }
    return NULL;
}

/* The lease that stands in the way by the member's sharing rule, or NULL. */
static const struct lease *sharing_conflict(const struct member *member,
                                            const struct holder *holder) {
    if (member->lease_count == 0 || member->sharing == SHARING_SHARED)
        return NULL;
    if (member->sharing == SHARING_EXCLUSIVE)
        return member_first_lease(member);
    bool writable = (member->flags & O_ACCMODE) != O_RDONLY;
    return writable ? foreign_lease(member, holder) : NULL;
}

int match_status(const struct member *member, int flags) {
    return (flags & STATUS_SETTABLE) | (member->flags & member->status & O_NOATIME);
}

static bool status_differs(const struct member *member, int flags) {
    return member->status != match_status(member, flags);
}

static enum fitness weigh(const struct member *member, const struct holder *holder, int flags,
                          const struct lease **obstacle) {
    *obstacle = NULL;
    if (member->state != MEMBER_LISTED)
        return FIT_REMOVED;
    if (!mode_serves(member, flags))
        return FIT_OTHER_MODE;
    if ((member->flags & STATUS_SYNC) != (flags & STATUS_SYNC))
        return FIT_OTHER_SYNC;
    if ((*obstacle = sharing_conflict(member, holder)))
        return FIT_BUSY;
    if (status_differs(member, flags) && (*obstacle = foreign_lease(member, holder)))
        return FIT_BUSY_FLAGS;
    return member_settling(member) ? FIT_IN_SETTLING : FIT_SERVES;
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
    case O_RDWR:
        return "read-write";
    }
    return "no access mode";
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

static int explain(const struct fdset *set, enum fitness nearest, const struct lease *obstacle,
                   int flags, struct refusal *refusal) {
    char modes[64];

    switch (nearest) {
    case FIT_REMOVED:
        return refuse(refusal, REFUSAL_EMPTY_SET, EACCES,
                      "set %u has no member left: all were removed", set->id);
    case FIT_OTHER_MODE:
        return refuse(refusal, REFUSAL_MODE, EACCES, "set %u has no %s member, only %s: add one",
                      set->id, mode_name(flags), modes_there(set, modes, sizeof(modes)));
    case FIT_OTHER_SYNC:
        return refuse(refusal, REFUSAL_SYNC, EINVAL,
                      "set %u has no %s member with%s O_SYNC and with%s O_DSYNC: open one so and "
                      "add it",
                      set->id, mode_name(flags), (flags & O_SYNC) == O_SYNC ? "" : "out",
                      flags & O_DSYNC ? "" : "out");
    case FIT_BUSY_FLAGS:
        return refuse(refusal, REFUSAL_BUSY, EBUSY,
                      "set %u: %s (pid %d) holds the %s member with other status flags: add a "
                      "second descriptor for this VMM",
                      set->id, obstacle->holder->name, obstacle->holder->pid, mode_name(flags));
    default:
        return refuse(
            refusal, REFUSAL_BUSY, EBUSY, "set %u: the %s member is held by %s (pid %d), lease %u",
            set->id, mode_name(flags), obstacle->holder->name, obstacle->holder->pid, obstacle->id);
    }
}

int match_member(const struct fdset *set, const struct holder *holder, int flags,
                 struct match *match, struct refusal *refusal) {
    struct member *best = NULL;
    enum fitness nearest = FIT_REMOVED;
    const struct lease *obstacle = NULL;

    if (set->spent)
        return refuse(refusal, REFUSAL_EMPTY_SET, EACCES, "set %u was for one open, which has been",
                      set->id);
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
    if (nearest < FIT_IN_SETTLING)
        return explain(set, nearest, obstacle, flags, refusal);
    /* A VMM can change the flags of what it holds without our hearing of it, so
     * with leases about they are set even where they seem to agree. */
    bool ours_alone = best->lease_count > 0 && !foreign_lease(best, holder);
    *match = (struct match){.member = best,
                            .set_flags = status_differs(best, flags) || ours_alone,
                            .settling = nearest == FIT_IN_SETTLING};
    return 0;
}

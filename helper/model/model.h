/* SPDX-License-Identifier: MIT */
/* The model: sets of members, leases of members, who holds them and how long
 * they stay. Pure data. It makes no system call, knows no socket and no
 * protobuf, and is told the time (model.now_ms); what has to be done to a
 * descriptor it puts on the queue `unsettled`, which the service works off, and
 * what happens it says to `tell`.
 *
 * It owns every descriptor from the moment the service has received it: as a
 * member that is offered, then listed in a set, or else closed. A descriptor's
 * number stands in its member and nowhere else.
 *
 * The rules are those of fdset(7), and where that says nothing those of QEMU 9.1
 * (monitor/fds.c). Not thread-safe: the main thread's own. */
#pragma once

#include <assert.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/types.h>

#include "containers/deadline.h"
#include "containers/id_table.h"
#include "containers/list.h"
#include "containers/slab.h"
#include "model/endpoint.h"
#include "model/event.h"
#include "model/limit.h"
#include "model/refusal.h"

/* Status flags that F_SETFL can change, and those it cannot but that matter. */
#define STATUS_SETTABLE (O_APPEND | O_DIRECT | O_NOATIME | O_NONBLOCK)
#define STATUS_SYNC     (O_SYNC | O_DSYNC)

/* The values are those of fdset.proto. */
enum lifetime {
    LIFETIME_ANY = 0,
    LIFETIME_CONNECTION = 1,
    LIFETIME_KEEP = 2,
    LIFETIME_ONCE = 3,
    LIFETIME_IDLE = 4,
};
enum sharing { SHARING_ONE_VMM = 0, SHARING_EXCLUSIVE = 1, SHARING_SHARED = 2 };
enum member_state {
    MEMBER_OFFERED = 0, /* received, in no set yet */
    MEMBER_LISTED = 1,
    MEMBER_REMOVED = 2,
    MEMBER_SETTLING = 3, /* only to the outside: see member_state() */
    MEMBER_CLOSING = 4,
};

/* What has to be done to a member's description or descriptor. */
enum work {
    WORK_INSPECT = 1, /* find out whether its file system may block */
    WORK_RESTORE = 2, /* clear locks, put the manager's status flags back */
    WORK_CLOSE = 4,   /* close the descriptor; the member is gone after */
};

struct fdset {
    struct list by_id;   /* in model.sets, ascending */
    struct list members; /* oldest first; removed ones stay while leased */
    struct list listed;  /* those that may be opened, oldest first */
    struct list holds;
    struct member *order;     /* of a large set: order.h */
    struct fdset *same_hash;  /* another set whose name has the same hash */
    char *name;               /* NULL for none */
    char *owner;              /* the manager's label, NULL for none */
    struct deadline deadline; /* end of its grace or idle time */
    uint32_t id;
    uint32_t name_hash;
    uint32_t member_count;
    uint32_t listed_count;
    uint32_t mode_counts[3]; /* of these by access mode */
    uint32_t read_count;     /* of these that are O_RDWR and serve O_RDONLY too */
    uint32_t lease_count;
    uint32_t hold_count;
    uint32_t closing_count;          /* members that are removed and being closed */
    uint64_t manager;                /* the connection that made it; 0: none, or it has ended */
    const struct endpoint *reserved; /* whose VMMs alone may open it; NULL: all */
    uid_t owner_uid;
    uint32_t grace_ms;
    uint32_t idle_ms;
    uint8_t lifetime;
    bool orphaned; /* its manager has gone for good: unused members go */
    bool spent;    /* LIFETIME_ONCE, and an open has succeeded: the refusal says so */
    bool mixed;    /* members may be of different files */
    bool ordered;  /* its members are kept in order */
};

struct member {
    struct list in_set;
    struct list in_listed;
    struct list leases;            /* oldest first */
    struct list queue;             /* in model.unsettled or with the settle threads */
    struct list changed;           /* in model.changed */
    struct list unswept;           /* in model.unswept */
    struct member *before, *after; /* in its set's order */
    uint64_t group;                /* there */
    struct fdset *set;             /* NULL while offered, and for a refused one */
    char *opaque;                  /* NULL where none was given */
    uint64_t inode;                /* with `device`, which file: st_ino */
    uint32_t device;               /* st_dev, as device_pack() has it */
    uint32_t device_number;        /* of a device, which one: st_rdev */
    uint64_t added_ms;
    uint64_t oldest_ms; /* when the oldest lease began that has ended since it was settled */

    uint64_t last; /* of which connection the last lease was that has ended; 0: none has */
    union {
        uint32_t id;
        uint32_t answer; /* of a refused one: who waits until it is closed; 0: nobody */
    };
    uint32_t lease_count;
    int fd;     /* owned */
    int flags;  /* F_GETFL when it came: what RESTORE puts back */
    int status; /* STATUS_SETTABLE flags that the description has now, -1 if unknown */
    uint32_t state : 3;
    uint32_t sharing : 2;
    uint32_t work : 3;    /* enum work, to be done or under way */
    uint32_t working : 3; /* that of it which a settle thread is at */
    uint32_t type : 16;   /* S_IFMT bits */
    bool may_block : 1;   /* close and unlock may wait for a server */
    bool serves_read_only : 1;
    bool keep_content : 1;
    bool keep_locks : 1;
    bool in_order : 1; /* of its set */
};

/* A device number as Linux itself has it: 12 bits of major, 20 of minor. */
static inline uint32_t device_pack(uint32_t major, uint32_t minor) {
    return major << 20 | (minor & 0xfffff);
}

/* The same as the C library has it: makedev(3). */
static inline uint64_t device_unpack(uint32_t device) {
    return makedev(device >> 20, device & 0xfffff);
}

/* Whether it is a device: these are told apart by their numbers, whatever their nodes. */
static inline bool member_is_device(const struct member *member) {
    return S_ISBLK(member->type) || S_ISCHR(member->type);
}

static_assert(sizeof(struct member) == 200, "there may be many: nothing is wasted");

struct lease {
    struct list in_member;
    struct list in_holder;
    struct member *member;
    struct holder *holder;
    uint64_t opened_ms;
    uint64_t id;
    int flags; /* of the open */
};

/* For the VMMs of other endpoints than the one that a set is reserved for it is not there. */
static inline bool set_is_for(const struct fdset *set, const struct endpoint *endpoint) {
    return !set->reserved || set->reserved == endpoint;
}

/* A manager or observer that is bound to an endpoint sees only what is reserved for it. */
static inline bool set_is_seen(const struct fdset *set, const struct endpoint *bound) {
    return !bound || set->reserved == bound;
}

/* The oldest, of a member that has one. */
static inline struct lease *member_first_lease(const struct member *member) {
    return list_object(member->leases.next, struct lease, in_member);
}

/* A set that a VMM keeps without having it open. */
struct hold {
    struct list in_set;
    struct list in_holder;
    struct fdset *set;
    struct holder *holder;
};

/* A connection, as far as the model has to know of it. */
struct holder {
    struct list leases;
    struct list holds;
    struct endpoint
        *endpoint; /* of a VMM; NULL: it has none, and asks for none of what it shares */
    uint32_t lease_count;
    uint64_t connection; /* its number */
    pid_t pid;
    char name[FDSET_MAX_NAME_BYTES + 1];
};

struct model {
    struct limits limits;
    struct endpoints endpoints;
    uint64_t now_ms;       /* set by the loop, once a turn */
    struct list sets;      /* by ascending id */
    struct list unsettled; /* members with work that nobody has yet begun */

    /* Members by which an open that was refused, or whose member was being settled, may
     * come out otherwise: they came, went, are settled, or have other flags. Noted while
     * somebody waits: so many do. */
    struct list changed;
    uint32_t awaited;

    /* Members on whose description may be what is not cleared at once; and when it is to be
     * cleared, at the latest: see member_unswept(). */
    struct list unswept;
    uint32_t unswept_count;
    uint64_t sweep_ms;
    struct slab set_slab, member_slab, lease_slab, hold_slab, short_label_slab, long_label_slab;
    struct id_table sets_by_id, sets_by_name, members_by_id, leases_by_id;
    struct deadlines deadlines;     /* of sets */
    uint32_t member_count;          /* in sets, or on their way out of one */
    uint32_t next_set, next_member; /* up to their last: then there are no more */
    uint64_t last_lease;

    /* Hears of each event of these kinds (bit N: enum event_kind N) as it happens, and
     * numbers it. Must not change the model. */
    void (*tell)(struct model *model, struct event *event);
    uint32_t told;
    uint64_t event_sequence; /* events so far, whether told or not */

    /* Over the helper's life. */
    struct {
        uint64_t added, removed, opens, denied, closes, hangups;
    } totals;
};

/* Takes all memory that `limits` can need. `spare_members` is how many may be
 * offered at once beside them. Returns 0 or -ENOMEM. Its endpoints are not there yet. */
int model_init(struct model *model, const struct limits *limits, uint32_t spare_members);

/* Frees the memory. Descriptors must have been closed. */
void model_destroy(struct model *model);

/* ------------------------------------------------------------------ adding */

/* A descriptor that has just been received, now owned by the model. NULL where
 * no member object is left: then the descriptor is still the caller's. */
struct member *member_offer(struct model *model, int fd);

/* Refused: the descriptor is queued to be closed, and the object with it. */
void member_discard(struct model *model, struct member *member);

/* Gives an offered member its label, copied; text may be NULL for none. */
void member_label(struct model *model, struct member *member, const char *text);

/* ---------------------------------------------------------------- settling */

/* Says that the work in `done` has been done; of RESTORE, the status flags are
 * in the member. A member that was closed is
 * freed, and its set if it was the last; `member` must not be used after. */
void member_settled(struct model *model, struct member *member, unsigned done);

/* Something may still be on the member's description that its last holder has left there: until
 * member_swept(), or a thread's RESTORE or CLOSE. It is cleared before another connection gets the
 * description, as soon as somebody asks, and else when there is nothing else to do for so long,
 * or after SWEEP_MS. */
#define SWEEP_IDLE_MS 100
#define SWEEP_MS      1000
static inline void member_unswept(struct model *model, struct member *member) {
    if (!list_empty(&member->unswept))
        return;
    if (model->unswept_count++ == 0)
        model->sweep_ms = model->now_ms + SWEEP_MS;
    list_append(&model->unswept, &member->unswept);
}

void member_swept(struct model *model, struct member *member);

/* It is to be swept now: as a part of RESTORE by the caller, who says member_settled() after it.
 * Returns false where the caller has nothing to do: it is leased, and will come again, or what
 * is to be done to it may block, and RESTORE is queued or under way. */
bool member_sweep_begin(struct model *model, struct member *member);

/* The description of a leased member has been given these flags. */
void member_flags_set(struct member *member, int status);

/* A VMM has changed the flags of what it has open: the member's are these now. */
void member_flags_seen(struct model *model, struct member *member, int status);

/* Opens of this member must wait. */
static inline bool member_settling(const struct member *member) {
    return member->work & (WORK_RESTORE | WORK_CLOSE);
}

/* What Query calls its state. */
enum member_state member_state(const struct member *member);

/* ----------------------------------------------------------------- looking */

struct fdset *model_find_set(const struct model *model, uint32_t id);
struct fdset *model_find_name(const struct model *model, const char *name);
struct member *model_find_member(const struct model *model, uint32_t id);
struct lease *model_find_lease(const struct model *model, uint64_t id);

/* The set with the lowest id above `id`, or NULL. */
struct fdset *model_next_set(const struct model *model, uint32_t id);

/* Whether somebody wants to hear of this kind. Where not, the event is counted. */
static inline bool model_tells(struct model *model, enum event_kind kind) {
    bool told = model->told >> kind & 1;

    model->event_sequence += !told;
    return told;
}

/* Asserts that counts, lists and indexes agree. Slow: for tests and debug builds. */
void model_check(const struct model *model);

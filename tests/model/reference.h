/* SPDX-License-Identifier: MIT */
/* The reference: what fdset.proto and the design say that a helper does, written
 * down as plainly as can be, without a thought of speed and without a look at
 * helper/model/model.c. One flat struct, which can be copied to try something out.
 *
 * It does not know what numbers the helper gives to leases, only that they are
 * new: whoever reads the reply says so, by ref_lease_known(). A request leaves
 * in `replies` and `events` what it brings to whom. */
#pragma once

#include "opening.h"
#include "sets.h"
#include "world.h"

enum {
    REF_CLIENTS = 14,
    REF_SETS = 24,
    REF_MEMBERS = 64,
    REF_LEASES = 64,
    REF_WAITING = 16,
    REF_HOLDS = 16,
    REF_REPLIES = 32,
    REF_RESULTS = 64,
    REF_EVENTS = 512,
};

/* "/dev/fdset/" and a name of 255 bytes. Of what is longer, events show the beginning. */
#define REF_LONGEST_PATH 266

/* Times up to this are over before the next step, longer ones never. */
#define REF_SHORT_MS 5

struct ref_limits {
    uint32_t sets, members, leases, leases_per_vmm, connections, waiting, holds, events;
};

struct ref_client {
    bool connected, greeted;
    int role, endpoint; /* which means something of a VMM */
    uint32_t connection, user;
    int pid;
    char name[64], owner[64];
    uint32_t kinds; /* of events, 0 where it did not subscribe */
};

struct ref_set {
    int id, lifetime;
    const char *name, *owner; /* "" for none */
    uint32_t user, grace_ms, idle_ms, manager;
    bool mixed, orphaned, spent, clock;
};

struct ref_member {
    uint32_t id;
    int set, file, flags;
    int status; /* what F_SETFL can change, as it is now */
    int fd;     /* ours, of the same description */
    bool removed, locked;
    struct new_member as_asked;
};

struct ref_lease {
    uint32_t order, id; /* id 0: not yet known */
    uint32_t member;
    int client, flags;
};

struct ref_waiting {
    int client, flags;
    uint32_t serial, wait_ms;
    char path[300];
};

struct ref_hold {
    int client, set;
};

/* Of one open. */
struct ref_result {
    int code, error;
    uint32_t order, member;
    bool truncate;
};

struct ref_reply {
    int client;
    uint32_t serial;
    int kind; /* REPLY() */
    int code, error;
    /* Of results; of sets added; leases of what was removed, and members removed; modes
     * and file seen. */
    int first, count;
    bool came;
};

struct ref_event {
    int kind, set, flags, code;
    uint32_t member, order, lease, wait_ms, connection;
    int pid;
    char path[300];
    const char *name;
};

struct ref_added {
    int set;
    uint32_t first_member;
    size_t count;
};

struct reference {
    const struct world *world;
    struct ref_limits limits;
    struct ref_client clients[REF_CLIENTS];
    struct ref_set sets[REF_SETS];          /* by id */
    struct ref_member members[REF_MEMBERS]; /* oldest first, as all others */
    struct ref_lease leases[REF_LEASES];
    struct ref_waiting waiting[REF_WAITING];
    struct ref_hold holds[REF_HOLDS];
    int set_count, member_count, lease_count, waiting_count, hold_count;
    int64_t next_set;
    uint32_t next_member, next_connection, next_order;
    uint64_t sequence;
    struct {
        uint64_t opens, denied, closes, hangups, added, removed, waited, expired, malformed, lost;
    } totals;

    /* What the last step brings. */
    struct ref_reply replies[REF_REPLIES];
    struct ref_result results[REF_RESULTS];
    struct ref_added added[8];
    struct ref_event events[REF_EVENTS];
    int reply_count, result_count, added_count, event_count;
    int served_events; /* of these, from the request itself, ahead of its reply */
    int timed_events;  /* from here on, in no certain order: as times are over */
    int requester;     /* -1: nobody */
    int gone[REF_MEMBERS * 2], gone_count; /* our descriptors of members that are no more */
};

void ref_begin(struct reference *ref, const struct world *world, const struct ref_limits *limits);

/* A step begins: forgets what the last brought. */
void ref_step(struct reference *ref, int requester);

/* The request is served; what follows from it is done. */
void ref_served(struct reference *ref);

/* Short times are over. Returns whether any was. */
bool ref_time_passes(struct reference *ref);

/* Returns false where it is turned away. `by_path`: not from birth. */
bool ref_connect(struct reference *ref, int client, int role, int pid, bool by_path);
void ref_hello(struct reference *ref, int client, uint32_t serial, const char *name,
               const char *owner);
void ref_hang_up(struct reference *ref, int client);
void ref_malformed(struct reference *ref, int client, uint32_t serial);
void ref_refuse(struct reference *ref, int client, uint32_t serial, int code, int error);
void ref_done(struct reference *ref, int client, uint32_t serial);
void ref_subscribe(struct reference *ref, int client, uint32_t serial, uint32_t kinds);

/* A member offered: which file, F_GETFL and our descriptor, in order. */
struct ref_offer {
    int file, flags, fd;
};
void ref_add(struct reference *ref, int client, uint32_t serial, const struct new_set *sets,
             size_t count, const struct ref_offer *offers);
void ref_remove(struct reference *ref, int client, uint32_t serial, int set, bool one,
                uint32_t member);

void ref_open(struct reference *ref, int client, uint32_t serial, const char *path, int flags,
              uint32_t wait_ms);
void ref_open_many(struct reference *ref, int client, uint32_t serial, const struct wanted *wanted,
                   const uint32_t *wait_ms, size_t count);
void ref_close(struct reference *ref, int client, const uint64_t *leases, size_t count);
void ref_look(struct reference *ref, int client, uint32_t serial, const char *path);
void ref_hold(struct reference *ref, int client, uint32_t serial, const char *path);
void ref_unhold(struct reference *ref, int client, uint32_t serial, const char *path);

/* The lease that the reference knows as `order` has this id. */
void ref_lease_known(struct reference *ref, uint32_t order, uint32_t id);

/* ------------------------------------------------ among its own files, and to look */

struct ref_set *ref_find_set(struct reference *ref, int id);
struct ref_set *ref_find_name(struct reference *ref, const char *name);
struct ref_member *ref_find_member(struct reference *ref, uint32_t id);
struct ref_set *ref_find_path(struct reference *ref, const char *path, struct ref_result *result);
bool ref_name_valid(const char *name);
int ref_set_leases(const struct reference *ref, int set);
int ref_member_leases(const struct reference *ref, uint32_t member);
int ref_set_holds(const struct reference *ref, int set);
struct ref_reply *ref_reply(struct reference *ref, int client, uint32_t serial, int kind);
struct ref_event *ref_tell(struct reference *ref, int kind, int set);
void ref_tell_of(struct reference *ref, int client, struct ref_event *event);
void ref_tell_path(struct ref_event *event, const char *path);
void ref_member_remove(struct reference *ref, struct ref_member *member);
int ref_clear(struct reference *ref, int set);
void ref_trim(struct reference *ref, int set);
void ref_clock(struct reference *ref, int set);
void ref_lease_end(struct reference *ref, int index);
void ref_retry(struct reference *ref);
bool ref_waits_end(struct reference *ref);

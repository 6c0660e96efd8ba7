/* SPDX-License-Identifier: MIT */
/* Answers that come when descriptors are closed: that of a RemoveFd, so that its manager
 * may unmount, detach or delete next, and the refusal of an AddFds, whose descriptors
 * would else keep busy for a moment what the manager has kept. And when one is unlocked:
 * that of a Close, whose VMM may look for the locks next.
 *
 * Closing is the settle threads', and so is some unlocking. Who waits for too many is
 * answered at once. */
#pragma once

#include "connection/session.h"
#include "containers/buckets.h"
#include "containers/deadline.h"
#include "model/refusal.h"

struct service;

/* In milliseconds: how long a removal's answer waits if the request does not say, and how
 * long a refusal does, whose manager waits for nothing of the kind. */
#define CLOSING_WAIT_MS    10000
#define CLOSING_REFUSAL_MS 500

/* An answer that waits. */
struct deferred {
    struct list link;         /* in deferrals.awaiting, or in deferrals.ready */
    struct list in_session;   /* in session.deferrals */
    struct deadline deadline; /* running while the answer may still wait */
    struct session *session;  /* NULL: it has ended, or has its answer */
    uint32_t serial;
    uint32_t set, member;   /* of a removal: what must be closed; member 0: all of the set */
    uint32_t removed;       /* of a removal: how many it removed */
    uint32_t unlocked;      /* of a Close: the member; else 0 */
    uint32_t refused;       /* of a refusal: descriptors that are not closed yet */
    struct refusal refusal; /* code 0: it is none */
};

struct deferrals {
    struct slab slab;
    struct buckets awaiting;    /* by the set or member that they wait for; of a refusal: none */
    struct list ready;          /* to be answered now */
    struct deadlines deadlines; /* their times */
};

/* Takes the memory for `room` answers that wait. Returns 0 or -errno. */
int deferrals_init(struct deferrals *deferrals, uint32_t room);

/* The answer to a RemoveFd. */
void reply_removed(struct session *session, uint32_t serial, uint32_t members, uint32_t leases,
                   uint32_t closing);

/* The set or member was removed: lets the answer wait. False where there are too many. */
bool deferred_begin_removal(struct service *service, struct session *session, uint32_t serial,
                            const struct deferred *wanted, uint32_t wait_ms);

/* A lease of this member has ended: lets the answer wait until its locks are cleared. False
 * where they are, or need not be, and where the session has such an answer to come. */
bool deferred_begin_unlock(struct service *service, struct session *session, uint32_t serial,
                           uint32_t member);

/* The descriptors offered with the request at hand are to be closed, each after
 * deferred_note(). NULL where there are too many. */
struct deferred *deferred_begin_refusal(struct service *service, struct session *session,
                                        uint32_t serial, const struct refusal *refusal);
void deferred_note(struct service *service, struct deferred *deferred, struct member *member);

/* A refused member, about to be freed, has been closed. */
void deferred_closed(struct service *service, const struct member *member);

/* This member of this set is closed or settled: lets be answered who waited for it. */
void deferrals_look(struct service *service, uint32_t set, uint32_t member);

/* How much of a removal is not closed. */
uint32_t deferred_left(const struct service *service, uint32_t set, uint32_t member);

/* Answers those whose time has come. */
void deferrals_answer(struct service *service);

/* The session takes again: lets its own be answered that could not be. */
void deferrals_resume(struct service *service, struct session *session);

/* Lets those whose time is over be answered. */
void deferrals_expire(struct service *service);
void deferrals_drop(struct service *service, struct session *session);

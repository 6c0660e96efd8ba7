/* SPDX-License-Identifier: MIT */
/* Opens that wait: until the member that fits is settled, or until a manager
 * has passed one that does. They are served in the order in which they came,
 * and one that cannot be served yet holds up none that can. */
#pragma once

#include "connection/session.h"
#include "containers/buckets.h"
#include "containers/deadline.h"
#include "model/refusal.h"
#include "name.h"

struct service;

struct waiting {
    struct list link;         /* in waits.all */
    struct list in_session;   /* of its session, which ends not without it */
    struct list in_bucket;    /* of waits.wanted */
    struct deadline deadline; /* due_ms 0: it has none, where it only waits for settling */
    struct session *session;
    uint64_t began_ms;
    uint64_t number; /* in the order in which they came, from 1 */
    uint32_t serial;
    int flags;
    char path[SET_PATH_BYTES];
};

struct waits {
    struct slab slab;
    struct list all;            /* oldest first */
    struct buckets wanted;      /* by set and access mode, each list oldest first */
    struct deadlines deadlines; /* their times */
    uint64_t last_number;
    uint64_t waited, expired; /* ever */
};

/* Takes the memory for `room` opens that wait. Returns 0 or -errno. */
int waits_init(struct waits *waits, uint32_t room);

/* Lets an open wait, up to `wait_ms` (0: for a settling member, however long).
 * Subscribers are told
 * by the refusal why it cannot be served yet. */
int waiting_begin(struct service *service, struct session *session, uint32_t serial,
                  const char *path, int flags, uint32_t wait_ms, struct refusal *refusal);

/* What can be waited for. */
bool waiting_helps(enum refusal_code code);

/* Tries those again that this member may serve, in their order. */
void waiting_retry(struct service *service, const struct member *member);

/* The session takes again: tries its own again that could not be told. */
void waiting_resume(struct service *service, struct session *session);

/* Those whose time is over fail. */
void waiting_expire(struct service *service);
void waiting_drop(struct service *service, struct session *session);

/* SPDX-License-Identifier: MIT */
/* A request that is more work than one turn: an OpenMany or a Close of many. It is done in
 * pieces, one in each turn of its lane; until it is done its session is not read. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "connection/session.h"
#include "fdset.pb-c.h"
#include "model/refusal.h"

struct service;

/* All error texts of one OpenMany together; later ones go without. */
#define MANY_TEXT_BYTES 8192

/* The answer to an OpenMany, as it grows. */
struct many {
    Fdset__V1__OpenedMany__Result results[FDSET_MAX_OPENS], *result_pointers[FDSET_MAX_OPENS];
    Fdset__V1__Opened opened[FDSET_MAX_OPENS];
    Fdset__V1__Error errors[FDSET_MAX_OPENS];
    struct lease *leases[FDSET_MAX_OPENS];
    size_t count;
    uint32_t lease_count;
    size_t text_used;
    char text[MANY_TEXT_BYTES];
};

struct chore {
    /* Does what there is credit for in this turn, at least one. */
    void (*step)(struct service *service, struct session *session, struct chore *chore);
    uint32_t serial;
    size_t count, done;
    union {
        struct {
            struct wanted_open {
                const char *path;
                int flags;
                uint32_t wait_ms;
            } opens[FDSET_MAX_OPENS];
            char paths[2 *
                       FDSET_MAX_PACKET_BYTES]; /* each of more bytes than one is in the packet */
            struct many answer;
        };
        uint64_t leases[FDSET_MAX_PACKET_BYTES]; /* each takes a byte of the packet */
    };
};

/* Takes the memory for one of each of `room` sessions. Returns 0 or -errno. */
int chores_init(struct slab *slab, uint32_t room);

/* Begins a chore of the session. */
struct chore *chore_begin(struct service *service, struct session *session, uint32_t serial,
                          size_t count);

/* Goes on with it. A session that takes nothing now is told nothing: then nothing is done. */
void chore_step(struct service *service, struct session *session);

/* It is done, or its session ends. */
void chore_end(struct service *service, struct session *session);

/* SPDX-License-Identifier: MIT */
/* How much the helper holds at most. All memory for it is taken at start.
 * Reaching a limit is an error for the request that did, never more. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct limits {
    uint32_t sets;
    uint32_t members;        /* over all sets, removed ones with leases included */
    uint32_t leases;         /* over all VMMs */
    uint32_t leases_per_vmm; /* so that one VMM cannot take them all */
    uint32_t connections;
    uint32_t waiting; /* opens that wait */
    uint32_t holds;   /* over all VMMs */
    uint32_t events;  /* kept for a subscriber that does not read */

    /* Seconds until who says no Hello is hung up on; and a VMM that reads nothing of what it has
     * asked for, when more waits for it. 0: never. */
    uint32_t hello_seconds, unread_seconds;

    uint32_t in_flight; /* descriptors that one endpoint has been sent and has not received */

    /* Not 0: members and connections are as many as so many descriptors allow, which is
     * fewer than by default. */
    uint32_t descriptors;
};

#define LIMITS_DEFAULT                       \
    ((struct limits){.sets = 1024,           \
                     .members = 4096,        \
                     .leases = 16384,        \
                     .leases_per_vmm = 8192, \
                     .connections = 64,      \
                     .waiting = 256,         \
                     .holds = 1024,          \
                     .events = 256,          \
                     .hello_seconds = 30,    \
                     .unread_seconds = 60,   \
                     .in_flight = 512})

/* Who reads a refusal may have started the helper by a program that does it for them. */
#define LIMIT_RAISE(name) \
    "start fdset-helper with --limit " name "=N (also by FDSET_HELPER_OPTIONS)"

/* Where it is the descriptors that do not allow more; takes their number. */
#define LIMIT_RAISE_DESCRIPTORS \
    "all that %u descriptors allow; raise 'ulimit -Hn' (LimitNOFILE=) and start it again"

/* No limit may be larger: ids and table sizes stay well inside 32 bits. */
#define LIMITS_LARGEST 1000000

/* The fewest descriptors for members and connections that a helper is started with where
 * nobody asked for fewer of those. */
#define LIMITS_FEWEST 8

/* Lowers members and connections, those that nobody asked for, so that `descriptors` are
 * enough for both. Returns false if they are not then. */
bool limits_fit(struct limits *limits, size_t descriptors, bool members_given,
                bool connections_given);

/* The limit called `name` ("leases-per-vmm"), or NULL. */
uint32_t *limits_find(struct limits *limits, const char *name);

/* The name of limit number `index`, or NULL past the last. */
const char *limits_name(size_t index);

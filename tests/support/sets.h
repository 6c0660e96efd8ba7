/* SPDX-License-Identifier: MIT */
/* What a manager asks for: to add, to remove, and what is there. */
#pragma once

#include "client.h"

#include <limits.h>

struct helper;

typedef Fdset__V1__Query Query;
typedef Fdset__V1__WaitingInfo WaitingInfo;

/* A grace or an idle time that is longer than any test has patience for. */
#define NEVER_MS 3600000

#define SET_NEW INT_MIN
#define SET_ALL INT_MIN

struct new_member {
    int fd; /* borrowed */
    const char *opaque;
    int sharing;
    bool serves_read_only, keep_content, keep_locks, allow_socket;
};

struct new_set {
    int set; /* or SET_NEW */
    int lifetime;
    const struct new_member *members;
    size_t count;
    const char *name;
    bool replace, mixed;
    uint32_t grace_ms, idle_ms;
    const char *reserved_for;
};

Reply *client_add(struct client *client, const struct new_set *sets, size_t count);
uint32_t client_send_add(struct client *client, const struct new_set *sets, size_t count);

/* One set; it must succeed. The first returns the set's id, the second, for
 * one member without anything, the member's. */
int client_add_set(struct client *client, int set, int lifetime, const struct new_member *members,
                   size_t count);
uint32_t client_add_one(struct client *client, int set, int fd);

/* One set with all that a set can have; it must succeed. Returns its id. */
int client_add_new(struct client *client, struct new_set set);

/* The same for one that must be refused. */
void client_add_refused(struct client *client, struct new_set set, int code, int error_number);

/* Adds a set of the test's disk with one read-only member: `set` without its members.
 * Returns the member's id. */
uint32_t client_add_disk(struct client *manager, struct new_set set);

/* `member` 0: all. The second does not wait for the close; the third sends only, and waits
 * so many milliseconds, or with -1 as long as a request that does not say. */
Reply *client_remove(struct client *client, int set, uint32_t member);
Reply *client_remove_at_once(struct client *client, int set, uint32_t member);
uint32_t client_send_remove(struct client *client, int set, uint32_t member, int64_t wait_ms);

/* One page. `after` may be NULL. */
QueryReply *client_query(struct client *client, int set, const Cursor *after);
Totals client_totals(struct client *client);

/* Asks until nothing is being settled; the second, until no lease is left either. */
void client_wait_settled(struct client *client);
void client_wait_idle(struct client *client);

/* One page, as asked for. The answer must be no error. */
QueryReply *client_query_with(struct client *client, const Query *query);

/* The set if it is there, else NULL. Its first page. */
SetInfo *client_find_set(struct client *client, int set);

/* Whether the set's time is running. */
bool client_has_clock(struct helper *helper, int set);

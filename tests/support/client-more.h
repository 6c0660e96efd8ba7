/* SPDX-License-Identifier: MIT */
/* More of what a client says and hears: opens that wait, holds, owners, events;
 * and VMMs and managers that are processes of their own. */
#pragma once

#include "harness.h"

#include <time.h>

typedef Fdset__V1__Query Query;
typedef Fdset__V1__WaitingInfo WaitingInfo;

/* As the helper's longest: longer than any test has patience for. */
#define WAIT_FOREVER_MS 3600000

/* The same for a grace or an idle time. */
#define NEVER_MS 3600000

/* Asks again and again until it is so; what never comes true fails the test. */
#define wait_until(condition)                      \
    for (time_t began = time(NULL); !(condition);) \
    be_patient(began, #condition)
void be_patient(time_t began, const char *condition);

/* ------------------------------------------------------------------ asking */

/* A manager with an owner's label. */
struct client *helper_connect_owner(struct helper *helper, const char *name, const char *owner);

/* An open that will wait; client_opened() has its outcome. Returns when the
 * helper has got it, so that what others do next comes after. */
uint32_t client_begin_open(struct client *client, const char *path, int flags, uint32_t wait_ms);

/* The outcome of whichever open is answered next. */
struct opened client_next_opened(struct client *client, uint32_t *serial);

/* One set with all that a set can have; it must succeed. Returns its id. */
int client_add_new(struct client *client, struct new_set set);

/* The same for one that must be refused. */
void client_add_refused(struct client *client, struct new_set set, int code, int error_number);

/* One page, as asked for. The answer must be no error. */
QueryReply *client_query_with(struct client *client, const Query *query);

/* The set if it is there, else NULL. Its first page. */
SetInfo *client_find_set(struct client *client, int set);

/* Hangs up, and returns when the helper has dealt with it. */
void client_leave(struct helper *helper, struct client *client);

/* Hangs up, and frees it now: for tests that have thousands of them. */
void helper_forget(struct helper *helper, struct client *client);

/* ------------------------------------------------------------------ events */

/* A connection that does nothing but listen. */
struct subscriber {
    struct client *client;
    Fdset__V1__Events *batch; /* the last that came, or NULL */
    size_t next;              /* in it */
    uint64_t lost;            /* that it was told of, ever */
    uint64_t sequence;        /* of the last event, 0 before the first */
};

/* Connects as an observer and subscribes: to the `count` kinds, the usual ones
 * with 0, or all with ALL_KINDS. */
#define ALL_KINDS SIZE_MAX
struct subscriber subscriber_begin(struct helper *helper, const int *kinds, size_t count);

/* Asks only; the reply is to be looked at. */
Reply *client_subscribe_to(struct client *client, const int *kinds, size_t count);

/* The next event, which must come. Lives until the one after it. */
Event *event_next(struct subscriber *subscriber);

/* The next event, which must be of this kind; of this kind and set. */
Event *event_expect(struct subscriber *subscriber, int kind);
Event *event_expect_of(struct subscriber *subscriber, int kind, int set);

/* Passes over others until one of this kind and set comes. */
Event *event_await(struct subscriber *subscriber, int kind, int set);

/* No event is on its way: all that has happened so far has been told. */
void event_expect_none(struct helper *helper, struct subscriber *subscriber);

/* --------------------------------------------------------------- processes */

/* A client in a process of its own, and a pipe each way between it and us. */
struct child {
    pid_t pid;
    int from, to; /* ours; kept by the harness */
};

/* What it sees of us. */
struct child_side {
    struct client *client;
    int from, to;
    void *data;
};

/* Starts `body` with a connection made by that process, so that its process id
 * is what the helper knows it by. A check that fails there ends it by SIGABRT. */
struct child child_start(struct helper *helper, int role, const char *name,
                         void (*body)(struct child_side *), void *data);

/* One byte from the one to the other, without meaning: each waits for the other. */
void child_wait(struct child *child);
void child_go(struct child *child);
void parent_tell(struct child_side *side);
void parent_wait(struct child_side *side);

/* Ends it by SIGKILL, or waits for its end, which must be a good one. */
void child_kill(struct child *child);
void child_join(struct child *child);

/* Adds a set of the test's disk with one read-only member: `set` without its members.
 * Returns the member's id. */
uint32_t client_add_disk(struct client *manager, struct new_set set);

/* Whether the set's time is running. */
bool client_has_clock(struct helper *helper, int set);

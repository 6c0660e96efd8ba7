/* SPDX-License-Identifier: MIT */
/* A client of the helper that can also misbehave: it speaks the wire protocol
 * of fdset.proto by hand, without libfdset, so that a fault in the one cannot
 * hide a fault in the other. A check that fails ends the test. */
#pragma once

#include "fdset.pb-c.h"
#include "packet.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef Fdset__V1__Request Request;
typedef Fdset__V1__Reply Reply;
typedef Fdset__V1__QueryReply QueryReply;
typedef Fdset__V1__SetInfo SetInfo;
typedef Fdset__V1__MemberInfo MemberInfo;
typedef Fdset__V1__Cursor Cursor;
typedef Fdset__V1__Totals Totals;
typedef Fdset__V1__Event Event;

#define CODE(name)     FDSET__V1__CODE__CODE_##name
#define ROLE(name)     FDSET__V1__ROLE__ROLE_##name
#define REPLY(name)    FDSET__V1__REPLY__BODY_##name
#define LIFETIME(name) FDSET__V1__LIFETIME__LIFETIME_##name
#define SHARING(name)  FDSET__V1__SHARING__SHARING_##name
#define MEMBER(name)   FDSET__V1__MEMBER_STATE__MEMBER_##name
#define EVENT(name)    FDSET__V1__EVENT_KIND__EVENT_##name

struct client {
    struct client *next; /* of its helper's clients */
    int socket;
    bool may_end;    /* if the helper has hung up, requests are lost in silence */
    uint32_t serial; /* of the last request */
    struct packet_descriptors descriptors; /* of the last reply, if not yet taken */
    struct packet_arena arena;             /* and the reply itself */
    Fdset__V1__Events *events;             /* which the last reply was, if it was that */
    size_t next_event;
    uint8_t bytes[FDSET_MAX_PACKET_BYTES];
};

/* How many seconds anybody waits for what must come: whoever waits longer has hung. */
extern int client_patience;

/* Consumes a connected socket. The harness frees it with its helper. */
struct client *client_new(int socket);
void client_free(struct client *client);

/* Hangs up; the object stays until the helper's end. */
void client_hang_up(struct client *client);

/* ------------------------------------------------------------- any packet */

/* Borrow the descriptors. */
void client_send_bytes(struct client *client, const void *bytes, size_t length, const int *fds,
                       size_t fd_count);
uint32_t client_send(struct client *client, Request *request, const int *fds, size_t fd_count);

/* As client_send(), but the packet says that it carries `announced` descriptors. */
uint32_t client_send_announcing(struct client *client, Request *request, uint32_t announced,
                                const int *fds, size_t fd_count);

/* The next reply, or NULL where the helper has hung up. Checks that as many
 * descriptors came as it says. Lives until the next one of this client. */
Reply *client_receive(struct client *client);

/* The next reply, which must be to this request. */
Reply *client_answer(struct client *client, uint32_t serial);
Reply *client_ask(struct client *client, Request *request);

/* The reply must be an error without descriptors. Text must be there, for people. */
void assert_refused(Reply *reply, int code, int error_number);
void assert_hung_up(struct client *client);

/* ------------------------------------------------------------ well-formed */

/* What clients say that their process is; 0, as is usual, for nothing. */
extern int client_says_pid;

Reply *client_hello(struct client *client, const char *name);
Reply *client_hello_as(struct client *client, const char *name, const char *owner);

/* What came of one open. */
struct opened {
    int fd; /* kept by the harness until the test's end; -1 if refused */
    uint32_t lease, member;
    bool truncate;
    int code, error; /* 0 if opened */
    char text[512];
};

/* Why the last open that was refused was refused, for messages. */
extern char client_last_refusal[512];

struct opened client_open(struct client *client, const char *path, int flags);
struct opened client_open_set(struct client *client, int set, int flags);

/* Both halves of an open; the second sends one that waits. */
uint32_t client_send_open(struct client *client, const char *path, int flags);
uint32_t client_send_patient_open(struct client *client, const char *path, int flags,
                                  uint32_t wait_ms);
struct opened client_opened(struct client *client, uint32_t serial);

struct wanted {
    const char *path;
    int flags;
};
void client_open_many(struct client *client, const struct wanted *wanted, size_t count,
                      struct opened *results);

/* An OpenMany of set 2, so many times, packed into `bytes`. Returns the length. */
size_t pack_open_many(uint8_t *bytes, uint32_t serial, size_t opens);

/* Sends the same packet without ever reading, until the socket takes no more.
 * Returns how many it took. */
size_t client_flood(struct client *client, const uint8_t *bytes, size_t length);

/* Close of any lease ids; and of one lease with its descriptor. */
void client_close_leases(struct client *client, const uint32_t *leases, size_t count);
void client_close(struct client *client, struct opened *opened);

/* Returns once the helper has worked off everything that this client has sent. */
void client_barrier(struct client *client);

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
};

Reply *client_add(struct client *client, const struct new_set *sets, size_t count);
uint32_t client_send_add(struct client *client, const struct new_set *sets, size_t count);

/* One set; it must succeed. The first returns the set's id, the second, for
 * one member without anything, the member's. */
int client_add_set(struct client *client, int set, int lifetime, const struct new_member *members,
                   size_t count);
uint32_t client_add_one(struct client *client, int set, int fd);

Reply *client_hold(struct client *client, const char *path);
Reply *client_unhold(struct client *client, const char *path);

Reply *client_look(struct client *client, const char *path);

/* The first hears of everything from here on; the second returns the next event
 * of this kind, and passes over others. */
void client_subscribe(struct client *client);
const Event *client_event(struct client *client, int kind);

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

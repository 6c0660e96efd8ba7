/* SPDX-License-Identifier: MIT */
/* A client of the helper that can also misbehave: it speaks the wire protocol
 * of fdset.proto by hand, without libfdset, so that a fault in the one cannot
 * hide a fault in the other. A check that fails ends the test. */
#pragma once

#include "fdset.pb-c.h"
#include "packet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

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

/* --------------------------------------------------- what any client says */

/* What clients say that their process is; 0, as is usual, for nothing. */
extern int client_says_pid;

Reply *client_hello(struct client *client, const char *name);
Reply *client_hello_as(struct client *client, const char *name, const char *owner);

/* Returns once the helper has worked off everything that this client has sent. */
void client_barrier(struct client *client);

/* --------------------------------------------------------------- patience */

/* Asks again and again until it is so; what never comes true fails the test. */
#define wait_until(condition)                      \
    for (time_t began = time(NULL); !(condition);) \
    be_patient(began, #condition)
void be_patient(time_t began, const char *condition);

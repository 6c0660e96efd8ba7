/* SPDX-License-Identifier: MIT */
/* Requests in, replies out: decodes what a session received, checks that its
 * role may ask it, lets the model decide, and answers. Knows the protocol and
 * the model; knows no epoll and nothing of the sandbox. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "connection/loop.h"
#include "connection/session.h"
#include "fdset.pb-c.h"
#include "model/model.h"
#include "model/refusal.h"
#include "packet.h"
#include "settle/open_file.h"
#include "settle/settle.h"

/* Members that may be offered at once beside those in sets: one packet being
 * looked at, and one refused that is still being closed. */
#define SPARE_MEMBERS (2 * FDSET_MAX_DESCRIPTORS)

/* Descriptors offered with the packet at hand; NULL where one has been listed. */
struct offer {
    struct member *members[FDSET_MAX_DESCRIPTORS];
    uint32_t count;
};

/* An open that waits: for its member to be settled, or for one to come. By
 * number, not by pointer: the session may end before. */
struct waiting {
    struct list link;
    struct deadline deadline; /* not running where it only waits for settling */
    uint64_t began_ms;
    uint32_t number; /* for Query; never 0 */
    uint64_t connection;
    uint32_t serial;
    int flags;
    char path[SET_PATH_BYTES];
};

/* A stage of the sandbox, in words; main() knows them from confine/. */
struct sandbox_stage {
    const char *name;
    bool whole;
    const char *detail;
};

struct service {
    struct loop loop;
    struct model model;
    struct settle settle;
    struct slab session_slab, pending_slab, waiting_slab, subscription_slab, closing_slab;
    struct list sessions;
    const struct session *serving;      /* whose request is at hand: its reply comes first */
    bool last_was_close;                /* the request served last */
    struct list waiting;                /* oldest first */
    struct deadlines waiting_deadlines; /* their times */
    uint32_t next_waiting;
    struct list closings;               /* answers that wait for closes, oldest first */
    struct deadlines closing_deadlines; /* their times */
    bool retry_waiting;                 /* something has changed that they may wait for */
    bool events_queued;
    bool reap;           /* a session is broken or has ended */
    bool stuffed;        /* a session has something to be tried again, */
    uint64_t stuffed_ms; /* last tried then */
    uint64_t started_ms;
    const struct sandbox_stage *sandbox; /* what was reached, for Query */
    size_t sandbox_count;
    uint64_t accepted, malformed, waited, expired, events_lost; /* ever */

    /* One packet at a time is looked at, so one of each is enough. */
    struct packet_arena arena;
    struct packet_descriptors received;
    struct offer offer;
    uint8_t request_bytes[FDSET_MAX_PACKET_BYTES];
    uint8_t reply_bytes[FDSET_MAX_PACKET_BYTES];
};

/* Takes all memory. Returns 0 or -errno. */
int service_init(struct service *service, const struct limits *limits);

/* Adds a descriptor from the command line: lifetime KEEP, no connection behind
 * it. Consumes `fd` where it succeeds. */
int service_add_initial(struct service *service, int fd, uint32_t set, const char *opaque,
                        struct refusal *refusal);

/* A packet of `length` bytes is in request_bytes. Takes the descriptors. */
void service_packet(struct service *service, struct session *session, size_t length,
                    struct packet_descriptors *descriptors, bool truncated);

/* There are objects for the descriptors of another packet. */
bool service_can_receive(const struct service *service);

/* The session has hung up: its leases, sets and waiting opens are dealt with. */
void service_session_ended(struct service *service, struct session *session);

/* Ends the sessions whose peer was found gone in this turn of the loop, and
 * frees those that have ended. */
void service_reap(struct service *service);

/* Begins with the work that the model has queued: in place where the file
 * system answers by itself, else on the settle threads. */
void service_settle(struct service *service);

/* The session has taken a pending reply: others may be waiting to be sent. */
void service_flushed(struct service *service);

/* To be called once a turn of the loop: does what is due in time. */
void service_tick(struct service *service);

/* Milliseconds until service_tick() must be called again, or -1. */
int service_timeout(const struct service *service);

/* What there is to do after anything has been done, in the order in which one
 * thing leads to the next. */
void service_follow_up(struct service *service);

/* Asserts that every object taken is in use. For debug builds, and after each input
 * of a fuzzer. */
void service_check(const struct service *service);

/* What the settle threads say: settle.h. */
void service_settled(struct settle *settle, struct member *member, unsigned work, bool may_block);
void service_stuck(struct settle *settle, struct member *member);

/* Milliseconds since the system's start, to a clock tick. By vDSO, always: the
 * coarse clock needs no system call, whatever the machine's clock source. */
uint64_t service_now(void);

/* ------------------------------------------- between the service's own files */

/* Handlers: return 0 when the reply is sent (or none is due), or -errno and a
 * refusal, which the caller sends. */
typedef int (*serve_function)(struct service *service, struct session *session,
                              const Fdset__V1__Request *request, struct refusal *refusal);

int serve_open(struct service *, struct session *, const Fdset__V1__Request *, struct refusal *);
int serve_open_many(struct service *, struct session *, const Fdset__V1__Request *,
                    struct refusal *);
int serve_close(struct service *, struct session *, const Fdset__V1__Request *, struct refusal *);
int serve_add_fds(struct service *, struct session *, const Fdset__V1__Request *, struct refusal *);
int serve_remove_fd(struct service *, struct session *, const Fdset__V1__Request *,
                    struct refusal *);
int serve_query(struct service *, struct session *, const Fdset__V1__Request *, struct refusal *);
int serve_hold(struct service *, struct session *, const Fdset__V1__Request *, struct refusal *);
int serve_unhold(struct service *, struct session *, const Fdset__V1__Request *, struct refusal *);
int serve_look(struct service *, struct session *, const Fdset__V1__Request *, struct refusal *);
int serve_subscribe(struct service *, struct session *, const Fdset__V1__Request *,
                    struct refusal *);

/* Sends a reply with the descriptors of `leases`. */
void service_reply(struct service *service, struct session *session, Fdset__V1__Reply *reply,
                   struct lease *const *leases, uint32_t lease_count);
void service_reply_error(struct service *service, struct session *session, uint32_t serial,
                         struct refusal *refusal);

/* Fills in the protocol's Error; the text is borrowed from the refusal. */
void service_error(Fdset__V1__Error *error, struct refusal *refusal);

/* What came of a RemoveFd. */
struct removed {
    uint32_t members, leases, closing;
};

void reply_removed(struct service *service, struct session *session, uint32_t serial,
                   const struct removed *removed);

/* The answer to what needs none: done. */
void service_reply_done(struct service *service, struct session *session, uint32_t serial);

/* Notes in an offered member what it is of. */
void service_note(struct member *member, const struct description *description);

/* Looks at an offered member's descriptor and notes what it is. */
int service_inspect(struct member *member, bool allow_socket, struct refusal *refusal);

/* The set of a path /dev/fdset/ID or /dev/fdset/NAME, or NULL and a refusal. */
struct fdset *find_path(const struct model *model, const char *path, struct refusal *refusal);

/* One open: gives out a lease. 0, or -errno with a refusal; -EAGAIN where the member
 * is being settled (nothing else gives that). */
int open_path(struct service *service, struct session *session, const char *path, int flags,
              struct lease **lease, struct refusal *refusal);

/* Counts an open's outcome, and tells of it if it failed. */
void open_counted(struct service *service, struct session *session, const char *path, int flags,
                  int result, const struct refusal *refusal);
void reply_opened(struct session *session, uint32_t serial, struct lease *lease);

/* Lets an open wait, up to `wait_ms` (0: for a settling member, however long). */
int waiting_begin(struct service *service, struct session *session, uint32_t serial,
                  const char *path, int flags, uint32_t wait_ms, const struct refusal *why,
                  struct refusal *refusal);

/* What can be waited for. */
bool waiting_helps(enum refusal_code code);

/* Tries all again, in their order, if something has changed. */
void waiting_retry(struct service *service);

/* Those whose time is over fail. */
void waiting_expire(struct service *service);
void waiting_drop(struct service *service, const struct session *session);

/* Says to subscribers what happened; the model's events come by the second. */
void service_tell(struct service *service, struct event *event);
void service_tell_model(struct model *model, struct event *event);

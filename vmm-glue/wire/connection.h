/* SPDX-License-Identifier: MIT */
/* One connection to fdset-helper, shared by all threads of this process: a
 * request goes out, the reply with its serial comes back.
 *
 * There is one set of receive buffers, and at any time at most one thread has
 * it. A thread that waits for its reply reads if nobody else does; where what
 * it read is another's, it passes the buffers on with the packet still in
 * them, and the addressee takes out what it needs. So a reply that is long in
 * coming holds up no other thread, nothing is copied and nothing allocated.
 *
 * After fork(2) the connection belongs to the parent: a child that used it
 * would speak with the parent's voice. connection_foreign() tells; it is all
 * that a child may call besides connection_close(). There the process id decides, so
 * that a vfork(2) child, which has the parent's memory, is told apart too. A call asks
 * connection_inherited(), which costs no system call and knows children of fork(2). */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include <fdset/manager.h>
#include <fdset/reconnect.h>

#include "fdset.pb-c.h"
#include "packet.h"

struct connection;

/* Somebody who waits for what the helper sends: a call for its reply, on the
 * waiting thread's stack; an open that was submitted, which no thread waits for;
 * or, with serial 0, a thread that waits for whatever comes. */
struct waiter {
    uint32_t serial;
    bool answered; /* the reply is in the buffers, and they are this thread's */
    bool asleep;   /* can be woken to read */
    bool unsent;   /* the helper had gone before it was sent */
    int failed;    /* the connection ended before the reply: a positive errno, or 0 */
    pthread_cond_t wake;
    struct waiter *next;

    /* Where no thread waits: takes what it needs out of the buffers. Called by
     * whichever thread read the reply, with the lock held; or, when the connection
     * ends before, with `failed` set and no reply. */
    void (*arrived)(struct waiter *waiter, struct connection *connection);
};

/* What it takes to connect anew; guarded by the connection's lock. */
struct link {
    char *path, *name, *owner; /* path NULL: there is no way to */
    bool kept;                 /* it is wanted, by this plan: */
    struct fdset_reconnect plan;

    bool trying; /* a thread is at it, and has the buffers: */
    pthread_t who;
    bool told_down, in_period, given_up;
    unsigned pause_ms;
    struct timespec next_attempt, period_end;
};

struct connection {
    _Atomic int socket;   /* the number stays, whatever it is connected to; but connection_move() */
    pid_t owner;          /* the process that connected */
    char *at_home;        /* owned: 1, in a child of fork(2) 0; NULL where no page does that */
    Fdset__V1__Role role; /* what the helper says this connection may do, */
    Fdset__V1__Role asked;           /* and what it was to be */
    struct fdset_helper_info helper; /* what it said of itself, for managers */
    uint64_t features; /* what goes beyond version 1 and both sides know: bits of Feature */

    pthread_mutex_t lock; /* guards the block below */
    uint32_t last_serial;
    struct waiter *waiters; /* those without a reply yet, */
    struct waiter *last;    /* and the last of them */
    bool buffers_taken;
    int broken;         /* why it is over, a positive errno, or 0 */
    int farewell_error; /* what the helper said before it hung up, 0 if nothing, */
    char farewell[512]; /* and in words */

    /* Counts the helpers: what one has given means nothing to the next. Does not
     * change while a thread has the buffers, other than by that thread. */
    uint32_t generation;
    struct link link;

    bool news;    /* there is something for who polls */
    bool no_room; /* the socket was full, and who polls is to hear when it no longer is */
    int poll_fd;  /* epoll of the socket and `alarm_fd`, -1 before it is asked for */
    int alarm_fd; /* timerfd: expired while there is news, or when to reconnect */

    /* Called as `arrived` is, with events; NULL where none are expected. */
    void (*events_arrived)(struct connection *connection, const Fdset__V1__Events *events);

    /* Requests that are not sent yet, while `unsent`: any other sends them before it.
     * Both are called with the lock held. `send_unsent` does not wait; it returns 0, or
     * -EAGAIN where the socket has no room for all. `drop_unsent` is called as the
     * connection breaks; may be NULL where nothing is ever unsent. */
    bool unsent;
    int (*send_unsent)(struct connection *connection);
    void (*drop_unsent)(struct connection *connection);

    /* Where a new connection needs more than a Hello: `renew` asks for it over the
     * fresh one, without the lock; `renewed` is called with it once that has taken
     * the place of the old one. May be NULL. */
    int (*renew)(struct connection *connection, struct connection *fresh);
    void (*renewed)(struct connection *connection);

    /* Belong to the thread that took the buffers. */
    const Fdset__V1__Reply *reply;
    struct packet_descriptors descriptors;
    bool truncated;
    uint8_t bytes[FDSET_MAX_PACKET_BYTES];
    struct packet_arena arena;
};

/* A request without content yet. */
#define REQUEST(member, body)                                     \
    {                                                             \
        PROTOBUF_C_MESSAGE_INIT(&fdset__v1__request__descriptor), \
            .body_case = FDSET__V1__REQUEST__BODY_##body, .member \
    }

/* All that can fail return 0 or -errno and have said why (failure.h). */

/* Connects to a socket by path, waiting up to `patience_ms` (0: for ever) for a place
 * among those who connect. Returns the socket, close-on-exec. */
int connection_dial(const char *path, int patience_ms);

/* Shakes hands as `role` (a MANAGER may turn out to be an OBSERVER) and fills
 * in `connection`, zeroed before. Consumes `socket`, also on failure. NULL for
 * `name` means the program's own, for `owner` none. */
int connection_open(struct connection *connection, int socket, Fdset__V1__Role role,
                    const char *name, const char *owner);

/* Hangs up: for the parent's socket too, whoever has a copy of it. In a child,
 * only closes the child's copy. */
void connection_close(struct connection *connection);

/* Goes on under another number than the socket has now, which the caller then has, still
 * open. Returns 0 or -errno; nothing said. */
int connection_move(struct connection *connection);

/* Frees what tells children apart; the socket stays open. */
void connection_leave(struct connection *connection);

/* Is this a process that forked off from the one that connected? */
bool connection_foreign(const struct connection *connection);

/* The same, but a child of vfork(2), which may not call anyway, counts as the parent. */
bool connection_inherited(const struct connection *connection);

/* Says so: -ESTALE. */
int connection_say_foreign(void);

/* Sends `request` with `count` descriptors, which it borrows, and waits for the
 * reply, which must be of kind `expected`. The reply and its descriptors are in
 * the connection's buffers until connection_release(), which must follow soon:
 * until then no thread receives. After a failure there is nothing to release.
 * An Error from the helper is a failure, with the helper's number and text. */
int connection_call(struct connection *connection, Fdset__V1__Request *request,
                    const int *descriptors, size_t count, Fdset__V1__Reply__BodyCase expected);

/* Did all `expected` descriptors come with the reply? If so the caller may
 * packet_descriptors_take() them. */
int connection_check_descriptors(struct connection *connection, size_t expected);

/* Closes the descriptors that were not taken and lets the next thread receive. */
void connection_release(struct connection *connection);

/* The same without waiting, with the lock held: the reply goes to waiter->arrived(). The
 * waiter is the connection's until then. -EAGAIN where the socket is full and others
 * were submitted: then it is the caller's again, as after any failure. Never reconnects. */
int connection_submit(struct connection *connection, Fdset__V1__Request *request,
                      struct waiter *waiter);

/* For send_unsent(), so before all others: the same, but it says nothing, and is -EAGAIN
 * wherever the socket is full. No waiter: no reply. */
int connection_post(struct connection *connection, Fdset__V1__Request *request,
                    struct waiter *waiter);

/* Ends the connection for good: everything under way fails with -ECANCELED. */
void connection_cancel(struct connection *connection);

/* Waits for `until` (CLOCK_MONOTONIC; NULL: for ever) or until a packet has
 * come, whoever read it, or until something has changed by reconnecting. Called
 * with the lock held. Returns 1 if something may have changed, 0 where the time is
 * over, or -errno (said) where the connection is. */
int connection_pump(struct connection *connection, const struct timespec *until);

/* The same while the socket is full: or until there is room. */
int connection_wait_room(struct connection *connection, const struct timespec *until);

/* Reads what has come already, while somebody waits for more than that. Called with
 * the lock held. */
void connection_drain(struct connection *connection);

/* To be called, with the lock held, by who has pumped and does not go on: another
 * thread may have been waiting for it to read. */
void connection_pass_on(struct connection *connection);

/* The point in time `timeout_ms` from now; NULL for -1, which is for ever. */
const struct timespec *connection_until(struct timespec *until, int timeout_ms);

/* A thread cancelled while it has the lock, or the buffers, or stands in the list of waiters
 * would take them with it. To be put first in a function that may: one that calls close(2)
 * then, poll(2), connect(2) or pthread_cond_wait(3), which are cancellation points. */
int cancellation_off(void);
void cancellation_restore(const int *before);
#define NO_CANCELLATION \
    __attribute__((cleanup(cancellation_restore), unused)) int cancellation = cancellation_off()

/* Tells the helper that gave them, and no other, that leases are closed. No reply;
 * nothing to be done about a failure, as without a connection there are no leases. */
void connection_tell_closed(struct connection *connection, uint32_t generation, uint32_t *leases,
                            size_t count);

/* ------------------------------------------------------------- for poll(2) */

/* The descriptor to poll, made when it is first asked for, or -errno. */
int connection_poll_fd(struct connection *connection);

/* With the lock held: whether there is something for who polls. */
void connection_news(struct connection *connection, bool news);

/* With the lock held: whether room in the socket is something for who polls. */
void connection_poll_room(struct connection *connection, bool wanted);

/* With the lock held: sets the alarm by what is so now. */
void connection_set_alarm(struct connection *connection);

/* With the lock held: polls the socket, or not while it leads nowhere. */
void connection_poll_socket(struct connection *connection, bool wanted);

/* ------------------------------------------------------------ reconnecting */

/* Keeps what it takes to connect anew. Returns 0 or -ENOMEM. */
int connection_remember(struct connection *connection, const char *path, const char *name,
                        const char *owner);

/* Turns reconnecting on, or, with NULL, off. */
int connection_set_reconnect(struct connection *connection, const struct fdset_reconnect *plan);

/* With the lock held, for a connection that is broken: makes an attempt where one
 * is due, waits where not. Returns as connection_pump(). */
int connection_reconnect(struct connection *connection, const struct timespec *until);

/* With the lock held: -EDEADLK where this thread is inside of plan.state(). */
int connection_check_entry(const struct connection *connection);

/* With the lock held, as the connection breaks: attempts may begin. */
void connection_schedule(struct connection *connection);

/* -------------------------------------------------- between its own files */

/* With the lock held: enters a waiter, whose request is on its way; and waits for the
 * reply to it. Where that returns 0 the reply is in the buffers, which are the caller's. */
void connection_expect(struct connection *connection, struct waiter *waiter);
int connection_await(struct connection *connection, struct waiter *waiter);

/* The parts of this that connection.c has, all with the lock held: says why the
 * connection is over; waits for another thread; wakes all that wait so. */
int connection_say_broken(const struct connection *connection, int error);
int connection_wait(struct connection *connection, const struct timespec *until);
void connection_wake(struct connection *connection);

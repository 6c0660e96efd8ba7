/* SPDX-License-Identifier: MIT */
/* One connection to fdset-helper, shared by all threads of this process: a request goes
 * out, the reply with its serial comes back. What it consists of; what is done with it
 * stands in layers, each of which calls those above it in this list only:
 *
 *     connection   who waits for what, and how threads wait for each other
 *     poll         the descriptor for who polls, and when to connect anew
 *     packets      one goes; one comes, and goes to whom it is for
 *     handshake    beginning and end
 *     reconnect    connecting anew
 *     requests     a thread waits for what it asked, or none does, and the outcome is dispatched
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
 * waiting thread's stack; a request that was submitted, which no thread waits for;
 * or, with serial 0, a thread that waits for whatever comes. */
struct waiter {
    uint32_t serial;
    bool answered; /* the reply is in the buffers, and they are this thread's */
    bool asleep;   /* can be woken to read */
    bool unsent;   /* the helper had gone before it was sent */
    int failed;    /* no reply will come: a positive errno, or 0 */
    pthread_cond_t wake;
    struct waiter *next;

    /* Where no thread waits: takes what it needs out of the buffers. Called by
     * whichever thread read the reply, with the lock held; or, when the connection
     * ends before, with `failed` set and no reply. */
    void (*arrived)(struct waiter *waiter, struct connection *connection);
};

/* A request that was submitted, until its outcome is given out. */
struct submitted {
    struct waiter waiter;   /* first */
    struct submitted *next; /* in a list */

    /* Sends it by request_send(): 0, or -errno, with -EAGAIN where there is no room. Called
     * with the lock held, more than once where it finds none. */
    int (*send)(struct submitted *request, struct connection *connection);

    /* Called, without the lock, by who dispatches. The request is its own from then on. */
    void (*give_out)(struct submitted *request);

    int error;  /* -errno, or 0 */
    char *text; /* owned; NULL where there is no error, or no memory to say it */
};

/* In order. */
struct request_list {
    struct submitted *first, *last;
};

/* What it takes to connect anew; guarded by the connection's lock. */
struct reconnecting {
    char *path, *name, *owner; /* path NULL: there is no way to */
    bool kept;                 /* it is wanted, by this plan: */
    struct fdset_reconnect plan;

    bool telling; /* a thread is inside of plan.state(): */
    pthread_t who;

    /* A new socket stands in the old one's place, and its helper is asked for all that the
     * old one had been. `broken` stays set until it has agreed. */
    bool greeting;
    int greeted; /* 1: it has; -errno, which was said: it has not; 0: not yet */
    struct waiter waiter;
    struct timespec greeting_end;

    bool told_down, in_period, given_up;
    unsigned pause_ms;
    struct timespec next_attempt, period_end;
};

struct connection {
    _Atomic int socket; /* the number stays, whatever it is connected to; but connection_move() */
    pid_t owner;        /* the process that connected */
    char *at_home;      /* owned: 1, in a child of fork(2) 0; NULL where no page does that */
    Fdset__V1__Role asked; /* the role that was asked for */

    pthread_mutex_t lock;            /* guards the block below */
    Fdset__V1__Role role;            /* what the helper says this connection may do */
    struct fdset_helper_info helper; /* what it said of itself, for managers */
    uint64_t features; /* what goes beyond version 1 and both sides know: bits of Feature */
    uint32_t last_serial;
    bool serials_again;     /* all have been used once */
    struct waiter *waiters; /* those without a reply yet, */
    struct waiter *last;    /* and the last of them */
    bool buffers_taken;
    int broken;         /* why it is over, a positive errno, or 0 */
    int farewell_error; /* what the helper said before it hung up, 0 if nothing, */
    char farewell[512]; /* and in words */

    /* Counts the helpers: what one has given means nothing to the next. Does not
     * change while a thread has the buffers. */
    uint64_t generation;
    struct reconnecting link;

    /* Requests that were submitted. Those that were sent and have no reply yet are among
     * the waiters. */
    struct request_list unsent; /* go before any other */
    struct request_list done;   /* have an outcome to be given out */
    bool full;                  /* the socket had no room for the first that is unsent */
    bool sending;               /* a thread is sending them */
    size_t dispatching;         /* threads that wait for outcomes */
    bool has_events;            /* there is something else for who polls */

    bool news;    /* what who polls is told, of all that */
    bool no_room; /* and is told of room in the socket */
    int poll_fd;  /* epoll of the socket and `alarm_fd`, -1 before it is asked for */
    int alarm_fd; /* timerfd: expired while there is news, or when to reconnect */

    /* Called as `arrived` is, with events; NULL where none are expected. */
    void (*events_arrived)(struct connection *connection, const Fdset__V1__Events *events);

    /* Where a new connection needs more than a Hello. Called with the lock held: `renew`
     * sends, for `waiter`, a request that is answered by Done, and returns 1; or 0 where
     * nothing is needed; or -errno. `renewed` is called once that is done. May be NULL. */
    int (*renew)(struct connection *connection, struct waiter *waiter);
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

/* All that can fail, here and in the layers, return 0 or -errno and have said why
 * (failure.h). */

/* Is this a process that forked off from the one that connected? */
bool connection_foreign(const struct connection *connection);

/* The same, but a child of vfork(2), which may not call anyway, counts as the parent. */
bool connection_inherited(const struct connection *connection);

/* Says so: -ESTALE. */
int connection_say_foreign(void);

/* Says why the connection is over, which `error`, positive, is the number of. */
int connection_say_broken(const struct connection *connection, int error);

/* With the lock held: -EDEADLK where this thread is inside of plan.state(). To be asked before
 * anything that a thread may do with the connection, also with what has come already. */
int connection_check_entry(const struct connection *connection);

/* With the lock held, for a connection that is broken: says why it takes no request now. */
int connection_refuse(const struct connection *connection);

/* The point in time `timeout_ms` from now; NULL for -1, which is for ever. */
const struct timespec *connection_until(struct timespec *until, int timeout_ms);

/* Milliseconds until then, rounded up; -1 for ever. */
int connection_remaining_ms(const struct timespec *until);

void request_put(struct request_list *list, struct submitted *request);
struct submitted *request_take_all(struct request_list *list);

/* Who waits for what the helper sends, and how threads wait for each other. All with the
 * lock held. */

/* Enters a waiter, whose request is on its way. */
void waiter_put(struct connection *connection, struct waiter *waiter);

/* Takes the waiter with this serial out of the list. NULL where there is none. */
struct waiter *waiter_take(struct connection *connection, uint32_t serial);

/* Until it is woken: its reply is there, or nobody reads any more. */
void waiter_sleep(struct connection *connection, struct waiter *waiter);

/* Somebody else reads, or reconnects: waits until that brings something, or for `until`
 * (CLOCK_MONOTONIC; NULL: for ever). Returns 0 where that time is over, else 1. */
int waiters_wait(struct connection *connection, const struct timespec *until);

/* Wakes all that wait so, to look whether what came was for them. */
void waiters_wake(struct connection *connection);

/* No reply will come to any of those in the list, but for those of waiters_wait(). */
void waiters_fail(struct connection *connection, int error);

/* To be called by who has read and does not go on: another thread may have been waiting
 * for it to read. */
void waiters_pass_on(struct connection *connection);

/* Holds a mutex to the end of the block. */
static inline pthread_mutex_t *lock_take(pthread_mutex_t *lock) {
    pthread_mutex_lock(lock);
    return lock;
}
static inline void lock_give_back(pthread_mutex_t *const *lock) {
    pthread_mutex_unlock(*lock);
}
#define LOCKED(mutex) \
    __attribute__((cleanup(lock_give_back), unused)) pthread_mutex_t *locked = lock_take(&(mutex))

/* A thread cancelled while it has the lock, or the buffers, or stands in the list of waiters
 * would take them with it. To be put first in a function that may: one that calls close(2)
 * then, poll(2), connect(2) or pthread_cond_wait(3), which are cancellation points. */
int cancellation_off(void);
void cancellation_restore(const int *before);
#define NO_CANCELLATION \
    __attribute__((cleanup(cancellation_restore), unused)) int cancellation = cancellation_off()

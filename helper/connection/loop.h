/* SPDX-License-Identifier: MIT */
/* The event loop: epoll, level-triggered but for EPOLLET, one thread.
 *
 * Watches wait for their turn in lanes, one for each virtual machine. A lane's turn is a bounded
 * amount of work, whoever of its own does it, and then it is the next lane's. So what many
 * connections of one virtual machine ask for at once costs another no more than one turn of
 * theirs, and one that has asked for nothing for a while comes first. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "containers/watch.h"

#define LOOP_EVENTS 64

/* Work is counted in opens of an OpenMany, about: a packet costs as much as so many, as its
 * system calls do; and so much is a lane's turn. */
#define PACKET_WORK 8
#define LEASE_WORK  2 /* to end one */
#define TURN_WORK   64

struct loop {
    int epoll;         /* owned */
    uint64_t *now_ms;  /* borrowed: where the time of each turn is written */
    struct list lanes; /* those in which somebody is ready, the next one first */
    struct lane *turn; /* whose turn it is, or NULL */
    int credit;        /* what may still be done in the turn under way */
    uint32_t watches;  /* as many as there may be */
    bool quiet;        /* nothing has happened in a time that was waited; its reader clears it */
};

/* Return 0 or -errno. */
int loop_init(struct loop *loop, uint32_t watches, uint64_t *now_ms);
int loop_add(struct loop *loop, struct watch *watch, uint32_t epoll_events);
void loop_change(struct loop *loop, struct watch *watch, uint32_t epoll_events);

/* After this the watch may still be told of events of the turn under way, unless it has a lane:
 * its owner must outlive the turn. */
void loop_remove(struct loop *loop, struct watch *watch);

/* The watch is told again in its lane's next turn, without an event. */
void loop_again(struct loop *loop, struct watch *watch);

/* It is not. */
void loop_forget(struct watch *watch);

/* So much has been done for whom the turn is. */
static inline void loop_spend(struct loop *loop, int work) {
    loop->credit -= work;
}

/* Whether more may be. */
static inline bool loop_may(const struct loop *loop) {
    return loop->credit > 0;
}

/* Milliseconds since the system's start, to a clock tick. By vDSO, always: the
 * coarse clock needs no system call, whatever the machine's clock source. */
uint64_t loop_now(void);

/* Waits up to `timeout_ms` (-1: for ever), takes the time, and tells those who are ready:
 * whatever comes from outside is told so, and has the time of its turn. Each lane has one turn;
 * who is ready then still is told in the next, for which nobody waits. */
int loop_turn(struct loop *loop, int timeout_ms);

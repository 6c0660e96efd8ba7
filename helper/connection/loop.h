/* SPDX-License-Identifier: MIT */
/* The event loop: epoll, level-triggered but for EPOLLET, one thread. Each watch is told
 * once a turn, so that no peer is served twice before another is served once. */
#pragma once

#include <stdint.h>

#include "containers/watch.h"

#define LOOP_EVENTS 64

struct loop {
    int epoll;        /* owned */
    uint64_t *now_ms; /* borrowed: where the time of each turn is written */
};

/* Return 0 or -errno. */
int loop_init(struct loop *loop, uint64_t *now_ms);
int loop_add(struct loop *loop, struct watch *watch, uint32_t epoll_events);
void loop_change(struct loop *loop, struct watch *watch, uint32_t epoll_events);

/* After this the watch may still be told of events of the turn under way: its
 * owner must outlive the turn. */
void loop_remove(struct loop *loop, struct watch *watch);

/* Milliseconds since the system's start, to a clock tick. By vDSO, always: the
 * coarse clock needs no system call, whatever the machine's clock source. */
uint64_t loop_now(void);

/* Waits up to `timeout_ms` (-1: for ever), takes the time, and tells those who are ready:
 * whatever comes from outside is told so, and has the time of its turn. */
int loop_turn(struct loop *loop, int timeout_ms);

/* SPDX-License-Identifier: MIT */
/* One thread's waiting for many descriptors. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Something to wait for; part of the object that it is about. Zero-initialise,
 * then set the first three. */
struct relay_watch {
    int fd; /* borrowed */
    void (*ready)(struct relay_watch *watch,
                  uint32_t events); /* EPOLLIN, ...; may free the watch */
    void *owner;
    uint32_t events;
    bool added;
};

struct relay_loop {
    int epoll;
    bool ended;
};

/* -errno where there can be none. */
int loop_open(struct relay_loop *loop);

/* From now on wait for these; EPOLLHUP and EPOLLERR are always told, also with 0. */
void loop_watch(struct relay_loop *loop, struct relay_watch *watch, uint32_t events);

/* No longer; must come before its descriptor is closed. Idempotent. */
void loop_unwatch(struct relay_loop *loop, struct relay_watch *watch);

/* Waits for one watch and calls it; until `ended` is set. */
void loop_run(struct relay_loop *loop);

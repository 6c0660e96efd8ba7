/* SPDX-License-Identifier: MIT */
/* Somebody who waits for a descriptor, and in which lane. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "containers/list.h"

/* Those who share their turn: the connections of one virtual machine, and where they arrive.
 * Zeroed: empty. */
struct lane {
    struct list in_turn; /* of the loop, where somebody is ready */
    struct list ready;   /* watches, in the order in which they became ready */
    int credit;          /* work left of its turn; below 0: done ahead, and owed */
    bool in_use;
};

/* Lives in its owner. */
struct watch {
    int fd; /* borrowed from the owner */
    void (*ready)(struct watch *watch, uint32_t epoll_events);
    struct lane *lane;  /* NULL: waits for nobody else */
    struct list queued; /* in lane.ready */
    uint32_t events;    /* of epoll, since it was queued */
    bool is_queued;
};

/* SPDX-License-Identifier: MIT */
/* The process that stands between management and QEMU's monitors. Commands that concern
 * descriptors are answered from the helper, with QEMU's own replies and errors; everything
 * else passes through as it is, in order, with its descriptors, events included. */
#pragma once

#include "monitor.h"

#define MONITORS_MAX 32

struct relay_setup {
    const char *manage; /* path of the helper's manage socket; NULL: */
    int manage_fd;      /* a socket that is connected to it; consumed */
    int lifeline;       /* a pipe: it ends when nobody has the other end any more; -1: none */
    int ready;          /* gets a newline and is closed when serving has begun; -1: none */
    struct relay_monitor monitors[MONITORS_MAX];
    size_t monitor_count;
};

/* Serves until there is nobody left to serve. Returns the exit status. */
int relay_run(struct relay_setup *setup);

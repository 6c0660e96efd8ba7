/* SPDX-License-Identifier: MIT */
/* The process that stands between management and QEMU's monitors. What passes is passed on as
 * it is, in order; but the descriptor of an add-fd stays here and goes to the helper, and QEMU
 * gets a portal in its place. What other managers add to the helper's sets, and take from them,
 * is put into QEMU's sets as well. */
#pragma once

#include <stdbool.h>

struct relay_setup {
    int manage_fd; /* a socket that is connected to the helper's managers */
    int joint;     /* what the preload library tells; the relay ends with it */
    int ready;     /* gets a newline and is closed when serving has begun; -1: none */
    bool waits;    /* opens wait at the helper for what is not there yet */
};

/* Serves until there is nobody left to serve. Consumes the descriptors. Returns the exit
 * status. */
int relay_run(const struct relay_setup *setup);

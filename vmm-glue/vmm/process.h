/* SPDX-License-Identifier: MIT */
/* Starting and ending a helper of one's own. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include <fdset/vmm.h>

/* A helper that this process started. */
struct spawned {
    pid_t pid;    /* -1 where there is none */
    int pidfd;    /* so that a VMM that reaps all its children cannot confuse us */
    bool lingers; /* it was told to outlive its VMM: not to be waited for */
};

/* Starts the helper. `socket` gets this end of the connection, which has not
 * shaken hands. Borrows all of `options`. Returns 0, or -errno and has said why. */
int helper_start(struct spawned *helper, const struct fdset_spawn_options *options, int *socket);

/* Waits for the helper's end, some seconds at most, after the connection was
 * hung up. `status` gets how it ended in words; may be NULL. Does nothing
 * where there is none. */
void helper_wait(struct spawned *helper, char *status, size_t size);

/* Gives up waiting for it: it lingers, or is the child of this child's parent. */
void helper_forget(struct spawned *helper);

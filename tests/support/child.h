/* SPDX-License-Identifier: MIT */
/* VMMs and managers that are processes of their own. */
#pragma once

#include "harness.h"

/* A client in a process of its own, and a pipe each way between it and us. */
struct child {
    pid_t pid;
    int from, to; /* ours; kept by the harness */
};

/* What it sees of us. */
struct child_side {
    struct client *client;
    int from, to;
    void *data;
};

/* Starts `body` with a connection made by that process, so that its process id
 * is what the helper knows it by. A check that fails there ends it by SIGABRT. */
struct child child_start(struct helper *helper, int role, const char *name,
                         void (*body)(struct child_side *), void *data);

/* One byte from the one to the other, without meaning: each waits for the other. */
void child_wait(struct child *child);
void child_go(struct child *child);
void parent_tell(struct child_side *side);
void parent_wait(struct child_side *side);

/* Ends it by SIGKILL, or waits for its end, which must be a good one. */
void child_kill(struct child *child);
void child_join(struct child *child);

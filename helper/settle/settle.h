/* SPDX-License-Identifier: MIT */
/* The settle threads: they do to members what may block (asking a file system
 * what it is, unlocking, restoring flags, closing), so that nobody else waits; and they
 * close what connections leave behind.
 *
 * One file system has at most one thread at a time (and one more that asks it what it
 * is, where it is known to answer), hence one that never
 * answers holds up its own members and nobody else's, until SETTLE_THREADS
 * different ones have stopped answering.
 *
 * The main thread owns the members throughout; a thread gets a copy of what it
 * needs and never looks at the model. Each has a socket pair of its own, over
 * which at most one job travels at a time: the queue is in the members. */
#pragma once

#include <sched.h>
#include <stdint.h>

#include "containers/watch.h"
#include "fdset/limits.h"
#include "model/model.h"

#define SETTLE_THREADS 4

/* What a connection leaves behind: its socket, and descriptors that came over it and are to
 * be closed. It may be the last of a socket that lingers, or of one in whose queue others lie
 * that nobody will read: whatever the peer likes. */
struct leftovers {
    struct list queue; /* in settle.leftovers while it waits for a thread */

    /* Whose: of one, one thread at a time is busy with it, and of all together SETTLE_STRANGERS.
     * NULL: a manager's, of which one thread is besides. */
    const void *group;
    bool begun;     /* a thread is at it */
    bool drop;      /* not to be closed: a packet is to be taken from fd[0], and dropped */
    uint32_t count; /* descriptors; 0: nothing to be done */
    int fd[FDSET_MAX_DESCRIPTORS + 1]; /* owned, or with `drop` borrowed */
    void (*done)(struct leftovers *leftovers);
};

#define SETTLE_STRANGERS (SETTLE_THREADS / 2)

struct settle {
    struct settle_thread {
        struct watch watch;          /* the main thread's end */
        int thread_end;              /* owned by the thread once it runs */
        struct member *member;       /* what it works on, NULL if that is no member */
        struct leftovers *leftovers; /* what it works on; both NULL if idle */
        uint64_t since_ms;           /* when settle_watch() first saw it so; 0: not yet */
        bool told;                   /* stuck() has been called for it */
        struct settle *settle;
    } threads[SETTLE_THREADS];
    struct list queue;        /* members that wait for a thread */
    uint32_t count;           /* members queued or being worked on */
    struct list leftovers;    /* that wait for a thread */
    uint32_t leftovers_count; /* queued or being worked on */
    bool starved;             /* the kernel had no memory: settle_watch() is to try again */
    cpu_set_t cpus;           /* where the threads may run; none: wherever they began */

    /* Told on the main thread that the `work` on `member` is done; of INSPECT,
     * what it found; of RESTORE, the member's status says what came of it. */
    void (*done)(struct settle *settle, struct member *member, unsigned work, bool may_block);

    /* Told that its file system does not answer. */
    void (*stuck)(struct settle *settle, struct member *member);
};

/* What travels to a thread, and back with `may_block` or `status` filled in. */
struct settle_job {
    int fd; /* borrowed, or with WORK_CLOSE consumed */
    int flags;
    unsigned work;
    bool keep_locks;
    bool unswept; /* a close is to clear what is left on the description too */
    bool may_block;
    int status;
    uint32_t leftovers; /* so many descriptors follow; 0: it is a member's */
    bool drop;
};

/* All that the member has to have done to it. */
struct settle_job job_of(const struct member *member);

/* Does it: the thread's part. `fd` are the descriptors of leftovers. */
void job_do(struct settle_job *job, const int *fd);

/* Calls stuck() for each member that a thread has been at for `limit_ms`, once.
 * To be called soon again while `starved`. */
void settle_watch(struct settle *settle, uint64_t now_ms, uint64_t limit_ms);

/* Makes the socket pairs. Returns 0 or -errno. */
int settle_init(struct settle *settle);

/* Starts the threads. libc makes system calls as a thread begins that the sandbox
 * forbids: settle_await() waits until all are through with them. After it each
 * thread's `watch` may be told that its socket can be read. Return 0 or -errno. */
int settle_start(struct settle *settle);
int settle_await(struct settle *settle);

/* Takes on the member's work. The member must be in no queue. */
void settle_submit(struct settle *settle, struct member *member);

/* Takes on leftovers, which are in no queue, and tells `done` of them later. */
void settle_leave(struct settle *settle, struct leftovers *leftovers);

/* Closes leftovers that no thread has begun with, whatever time that takes. For the end. */
void settle_close_rest(struct settle *settle);

/* Whether there is anything that a thread has not yet done. */
static inline bool settle_is_busy(const struct settle *settle) {
    return settle->count + settle->leftovers_count > 0;
}

/* Whether there is a thread that waits for work. */
bool settle_is_free(const struct settle *settle);

/* Gives idle threads what they can begin with. */
void settle_dispatch(struct settle *settle);

/* Begins with all work that the model has queued for its members: what may block goes to the
 * settle threads, the rest is done. */
void work_begin(struct settle *settle, struct model *model);

/* Clears what work_begin() has left on the description of a member without leases for later:
 * at once, or where that may block, as work that the member has. */
void work_sweep(struct model *model, struct member *member);

/* Does it to those that have waited longest, some in each turn. */
void work_sweep_due(struct model *model);

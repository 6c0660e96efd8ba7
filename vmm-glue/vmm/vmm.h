/* SPDX-License-Identifier: MIT */
/* The inside of a VMM's object, shared by its parts; and what all ways of opening share. */
#pragma once

#include <fdset/vmm.h>

#include "fdset.pb-c.h"
#include "name.h"
#include "packet.h"
#include "vmm/leases.h"
#include "wire/connection.h"

/* Several opens in one packet, for fdset_open_many() and for those that are submitted
 * together. The message is sent as it stands: message.n_opens are in it. */
struct batch {
    Fdset__V1__OpenMany message;
    size_t bytes; /* what it takes at most in a packet */
    Fdset__V1__Open opens[FDSET_MAX_OPENS];
    Fdset__V1__Open *pointers[FDSET_MAX_OPENS];
};

/* An open between fdset_open_submit() and its outcome. */
struct submitted_open {
    struct submitted request;    /* first: of this open, or of the packet that it is first in */
    struct submitted_open *with; /* the next in that packet */
    struct fdset_vmm *vmm;
    fdset_opened_function opened;
    void *context;
    int flags;
    unsigned wait_ms;
    bool alone;   /* is sent again */
    bool counted; /* in submissions.under_way */

    /* The outcome, as it came: the lease is entered by who dispatches. */
    Fdset__V1__Opened lease;
    uint64_t generation;
    int fd;

    char path[];
};

struct submissions {
    /* The packet that is being filled. Its first is among the unsent. */
    struct submitted_open *first, *last;
    struct batch batch;

    size_t under_way; /* packets without a reply, of opens that do not wait */
};

/* A helper that this process started. */
struct spawned {
    pid_t pid;    /* -1 where there is none */
    int pidfd;    /* so that a VMM that reaps all its children cannot confuse us */
    bool lingers; /* it was told to outlive its VMM: not to be waited for */
};

struct fdset_vmm {
    struct connection connection; /* first: its functions are given the one for the other */
    struct leases leases;
    struct spawned helper;
    struct submissions submissions;
};

/* No path that the helper takes is longer. */
#define LONGEST_PATH (SET_PATH_BYTES - 1)

/* 0, or -errno for a path that cannot be sent. */
int path_check(const char *path);

/* Makes a received descriptor, which it consumes, the caller's lease, as open(2)
 * with `flags` would. Returns it, or -errno. `generation` is the connection's as it
 * was when the descriptor came. */
int lease_accept(struct fdset_vmm *vmm, const Fdset__V1__Opened *opened, uint64_t generation,
                 int fd, int flags);

/* Tells the helper that gave it, and no other, that a lease is closed, or none with id 0.
 * Nothing to be done about a failure, as without a connection there are no leases. */
void lease_tell_closed(struct fdset_vmm *vmm, struct lease_id lease);

/* The same of several; with `wait`, waits for the helper to have let go of their locks, where it
 * answers that. One that has gone has. */
void leases_tell_closed(struct fdset_vmm *vmm, uint64_t generation, uint64_t *leases, size_t count,
                        bool wait);

/* As close(2), but a thread that is cancelled does not end in it: between the closing
 * and the telling the helper would hear of neither. */
int close_all_the_same(int fd);

/* Also before the first use. */
void batch_clear(struct batch *batch);

/* Adds an open, which does not wait; borrows `path`, whose length path_check() allows, until the
 * batch is cleared. Returns false where it does not fit any more. One fits always. */
bool batch_add(struct batch *batch, const char *path, size_t length, int flags);

/* What has become of one open of a batch: 0 and what was `opened`, whose lease is never
 * 0, or -errno and a `text`, which belongs to the result. */
int batch_result(const Fdset__V1__OpenedMany__Result *result, Fdset__V1__Opened *opened,
                 const char **text);

/* Opens that were submitted and have not been given out: open_send.c sends them,
 * open_receive.c takes what comes of them. All of this with the connection's lock held. */

/* Forgets the packet that is being filled: it was sent, or nobody will see it. */
void submissions_clear(struct submissions *all);

/* For the reply to one open, or to a packet of several: struct waiter. */
void submitted_arrived(struct waiter *waiter, struct connection *connection);

/* Gives out its outcome: struct submitted. */
void submitted_give_out(struct submitted *request);

/* Starting and ending a helper of one's own, by process.c. */

/* Starts the helper. `socket` gets this end of the connection, which has not
 * shaken hands. Borrows all of `options`. Returns 0, or -errno and has said why. */
int helper_start(struct spawned *helper, const struct fdset_spawn_options *options, int *socket);

/* Waits for the helper's end, some seconds at most, after the connection was
 * hung up. `status` gets how it ended in words; may be NULL. Does nothing
 * where there is none. */
void helper_wait(struct spawned *helper, char *status, size_t size);

/* Gives up waiting for it: it lingers, or is the child of this child's parent. */
void helper_forget(struct spawned *helper);

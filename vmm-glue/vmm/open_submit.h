/* SPDX-License-Identifier: MIT */
/* Opens that were submitted and have not been given out: open_send.c sends them,
 * open_receive.c takes what comes of them. All of this with the connection's lock held. */
#pragma once

#include <fdset/vmm.h>

#include "vmm/batch.h"
#include "wire/connection.h"

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
    uint32_t generation;
    int fd;

    char path[];
};

struct submissions {
    /* The packet that is being filled. Its first is among the unsent. */
    struct submitted_open *first, *last;
    struct batch batch;

    size_t under_way; /* packets without a reply, of opens that do not wait */
};

/* Forgets the packet that is being filled: it was sent, or nobody will see it. */
void submissions_clear(struct submissions *all);

/* For the reply to one open, or to a packet of several: struct waiter. */
void submitted_arrived(struct waiter *waiter, struct connection *connection);

/* Gives out its outcome: struct submitted. */
void submitted_give_out(struct submitted *request);

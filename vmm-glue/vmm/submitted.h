/* SPDX-License-Identifier: MIT */
/* Opens that were submitted and have not been given out: submit.c sends them, async.c
 * takes what comes of them. All of this with the connection's lock held. */
#pragma once

#include <fdset/vmm.h>

#include "vmm/batch.h"
#include "wire/connection.h"

/* An open between fdset_open_submit() and its outcome. */
struct submitted {
    struct waiter waiter;   /* for the reply to it, or to the packet that it is first in */
    struct submitted *next; /* in a list, or in its packet */
    struct fdset_vmm *vmm;
    fdset_opened_function opened;
    void *context;
    int flags;
    unsigned wait_ms;
    bool alone;      /* is sent again */
    size_t together; /* how many are in the packet that it is first in */

    /* The outcome, as it came: the lease is entered by who dispatches. */
    Fdset__V1__Opened lease;
    uint32_t generation;
    int fd;
    int error;  /* -errno, 0 where there is a descriptor */
    char *text; /* owned; NULL where there is no error, or no memory to say it */

    char path[];
};

/* In order. */
struct submitted_list {
    struct submitted *first, **end;
};

/* Those that were sent and have no reply yet are in the connection's list of waiters. */
struct submissions {
    struct submitted_list queue; /* to be sent, together: */
    struct batch batch;          /* the packet that they make */
    struct submitted_list again; /* to be sent again, each alone, as these may take long */
    struct submitted_list done;  /* have an outcome to be given out */
    bool stuck;                  /* what is to be sent has found no room */
    size_t under_way;            /* packets without a reply, of opens that do not wait */
    size_t waiting;              /* threads that wait for outcomes */
};

void submissions_init(struct fdset_vmm *vmm);

/* To be called after any change to the lists: decides whether there is something to be
 * sent before other requests, and something for who polls. Nothing else does. */
void submissions_changed(struct fdset_vmm *vmm);

/* Sends what is unsent, as far as there is room: connection.h, send_unsent. */
int submissions_send(struct connection *connection);

void submitted_put(struct submitted_list *list, struct submitted *submitted);
struct submitted *submitted_take_all(struct submitted_list *list);

/* Its outcome is -errno. The second: all from this one on are done, with that outcome. */
void submitted_fail(struct submitted *submitted, int error, const char *text);
void submitted_fail_all(struct submitted *submitted, int error, const char *text);

/* For the reply to one open, and to several, whose first has the waiter: called by whoever
 * read it, or found that none will come. */
void submitted_arrived(struct waiter *waiter, struct connection *connection);
void submitted_many_arrived(struct waiter *waiter, struct connection *connection);

/* The inside of a VMM's object, for vmm.c and async.c. */
#pragma once

#include <fdset/vmm.h>

#include "connection.h"
#include "leases.h"
#include "process.h"

struct fdset_vmm {
    struct connection connection;
    struct leases leases;
    struct helper helper;

    /* Opens that were submitted: under way, and with an outcome, oldest first.
     * Guarded by the connection's lock. */
    struct submitted *under_way, *done;
    int poll_fd; /* epoll of the socket and `wake_fd`, -1 before it is asked for */
    int wake_fd; /* eventfd: readable while there is an outcome */
};

/* 0, or -errno for a path that cannot be sent. */
int path_check(const char *path);

/* Makes a received descriptor, which it consumes, the caller's lease, as open(2)
 * with `flags` would. Returns it, or -errno. */
int lease_accept(struct fdset_vmm *vmm, const Fdset__V1__Opened *opened, int fd, int flags);

/* Gives out all outcomes, those still to come as -ECANCELED. */
void submitted_cancel(struct fdset_vmm *vmm);

/* Closes what fdset_vmm_poll_fd() made. */
void submitted_close(struct fdset_vmm *vmm);

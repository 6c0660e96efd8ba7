/* SPDX-License-Identifier: MIT */
/* The inside of a VMM's object, shared by its parts. */
#pragma once

#include <fdset/vmm.h>

#include "vmm/leases.h"
#include "vmm/process.h"
#include "vmm/submitted.h"
#include "wire/connection.h"

struct fdset_vmm {
    struct connection connection; /* first: its functions are given the one for the other */
    struct leases leases;
    struct helper helper;
    struct submissions submissions;
};

/* 0, or -errno for a path that cannot be sent. */
int path_check(const char *path);

/* Makes a received descriptor, which it consumes, the caller's lease, as open(2)
 * with `flags` would. Returns it, or -errno. `generation` is the connection's as it
 * was when the descriptor came. */
int lease_accept(struct fdset_vmm *vmm, const Fdset__V1__Opened *opened, uint32_t generation,
                 int fd, int flags);

/* Gives out all outcomes, those still to come as -ECANCELED. Nothing can be opened
 * after that. */
void submitted_cancel(struct fdset_vmm *vmm);

/* SPDX-License-Identifier: MIT */
/* What a path and a received descriptor must go through. */
#pragma once

#include "name.h"
#include "vmm/vmm.h"

/* No path that the helper takes is longer. */
#define LONGEST_PATH (SET_PATH_BYTES - 1)

/* 0, or -errno for a path that cannot be sent. */
int path_check(const char *path);

/* Makes a received descriptor, which it consumes, the caller's lease, as open(2)
 * with `flags` would. Returns it, or -errno. `generation` is the connection's as it
 * was when the descriptor came. */
int lease_accept(struct fdset_vmm *vmm, const Fdset__V1__Opened *opened, uint32_t generation,
                 int fd, int flags);

/* Tells the helper that gave it, and no other, that a lease is closed, or none with id 0. No
 * reply; nothing to be done about a failure, as without a connection there are no leases. */
void lease_tell_closed(struct fdset_vmm *vmm, struct lease_id lease);
void leases_tell_closed(struct fdset_vmm *vmm, uint32_t generation, uint32_t *leases, size_t count);

/* As close(2), but a thread that is cancelled does not end in it: between the closing
 * and the telling the helper would hear of neither. */
int close_all_the_same(int fd);

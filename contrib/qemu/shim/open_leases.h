/* SPDX-License-Identifier: MIT */
/* The open leases by set: what is open already. */
#pragma once

#include "path.h"

/* `fd` is a lease of `set`. */
void open_leases_note(struct fdset_vmm *vmm, const struct set_path *set, int fd);

/* `copy` is a duplicate of `fd`. */
void open_leases_note_copy(struct fdset_vmm *vmm, int fd, int copy);

/* An open lease of `set`, or -1. */
int open_leases_find(struct fdset_vmm *vmm, const struct set_path *set);

/* After fork(2), in the child. */
void open_leases_forget_all(void);

/* SPDX-License-Identifier: MIT */
/* A helper of this program's own, or one that fdset-qemu is starting. */
#pragma once

#include "preload.h"

/* Starts a helper, for when no other was named. As fdset_vmm_spawn(), but has complained. */
int shim_spawn(struct fdset_vmm **vmm);

/* Has somebody said what such a helper is to have, or how it gets it? */
bool shim_may_spawn(void);

/* fdset-qemu became this program while its helper and relay were starting. Waits for them, once,
 * where that is so; ends the program where they do not serve. To be called where the program
 * would need them, and before what cannot be taken back. */
void shim_await_start(void);

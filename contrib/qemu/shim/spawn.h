/* SPDX-License-Identifier: MIT */
/* A helper of this program's own. */
#pragma once

#include "preload.h"

/* Starts a helper, for when no other was named. As fdset_vmm_spawn(), but has complained. */
int shim_spawn(struct fdset_vmm **vmm);

/* Has somebody said what such a helper is to have, or how it gets it? */
bool shim_may_spawn(void);

/* SPDX-License-Identifier: MIT */
/* The inside of a VMM's object, shared by its parts. */
#pragma once

#include <fdset/vmm.h>

#include "vmm/leases.h"
#include "vmm/open_submit.h"
#include "vmm/process.h"
#include "wire/connection.h"

struct fdset_vmm {
    struct connection connection; /* first: its functions are given the one for the other */
    struct leases leases;
    struct spawned helper;
    struct submissions submissions;
};

/* SPDX-License-Identifier: MIT */
/* What the library says on standard error. */
#pragma once

#include "preload.h"

/* $FDSET_PRELOAD_VERBOSE: what fails is to be explained. */
bool shim_is_verbose(void);

/* A sentence on standard error. */
void shim_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* SPDX-License-Identifier: MIT */
/* The guard: files that get into the emulator past the helper. */
#pragma once

#include "preload.h"

/* Is `fd`, which came by `way`, a file that somebody may have images in? Then it is told of;
 * and true where it is to be refused. */
bool stray_refuse(int fd, const char *way);

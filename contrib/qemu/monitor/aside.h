/* SPDX-License-Identifier: MIT */
/* Closing what somebody has passed, which may hang. */
#pragma once

#include <stddef.h>

/* A file system may hang, and close(2) with it; then this goes on without. Otherwise all are
 * closed when it returns. */
void aside_close(const int *fds, size_t count);

/* SPDX-License-Identifier: MIT */
/* Closing what somebody has passed, which may hang. */
#pragma once

#include <stddef.h>

/* Starts the threads that close. Without them the caller closes. 0 or -errno. */
int aside_begin(void);

/* A file system may hang, and close(2) with it; then this goes on without. Otherwise all are
 * closed when it returns. */
void aside_close(const int *fds, size_t count);

/* SPDX-License-Identifier: MIT */
/* What may hang is done by threads of its own. */
#pragma once

#include <stddef.h>

/* Runs `body` in a thread that nobody waits for, and that no signal interrupts. -errno. */
int aside_run(void *(*body)(void *), void *argument);

/* Closes what somebody has passed. A file system may hang, and close(2) with it, then
 * this goes on without; otherwise all are closed when it returns. */
void aside_close(const int *fds, size_t count);

/* SPDX-License-Identifier: MIT */
/* Runs a program traced, in place of the caller. It stays the process that was
 * started, with its parent: the tracer is a child that attaches to it, so a test
 * that is given the caller in place of the program need not know of it. */
#pragma once

#include <sys/types.h>

/* Told of each stop, before the kernel looks at its filter and after the call. */
typedef void tracer_stopped(pid_t thread);

/* Does not return. The tracer has `output` (borrowed, or -1 for none) as its
 * descriptors 1 and 2 and no other, and no more than that to do with its
 * parent's terminal: nothing that somebody might wait for the end of. */
void tracer_exec(const char *program, char **argv, int output, tracer_stopped *stopped)
    __attribute__((noreturn));

/* A helper may be started without standard streams: moves a descriptor of ours
 * out of their place. Consumes it; returns the new one, or -1. */
int tracer_lift(int fd);

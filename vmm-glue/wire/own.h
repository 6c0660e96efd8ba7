/* SPDX-License-Identifier: MIT */
/* For who preloads this library into others' programs.
 *
 * Numbers for the descriptors that it keeps for itself, where the program does not
 * know that it has them: high ones. So a program that chooses numbers (dup2(2), a shell's
 * "exec 3<file") finds those free that it believes to be, and gets the lowest free one from
 * open(2). */
#pragma once

#include <stdbool.h>

/* To be set before anything is made. */
extern bool own_descriptors_hide;

/* Where they hide, moves `fd`, which it consumes, to a high number, close-on-exec. Returns
 * the new one; `fd` itself where it is negative or no higher number is free. errno stays as
 * it is. */
int own_descriptor(int fd);

/* A duplicate of `fd`, which it borrows, under a number of at least `lowest`; where they hide, a
 * high one if there is one. Close-on-exec. -1 with errno. */
int own_duplicate(int fd, int lowest);

/* Goes on under another number than fdset_vmm_socket() says now. The caller has the old one
 * then, which is still open, to put something else there. Returns 0 or -errno; nothing said. */
struct fdset_vmm;
int own_socket_move(struct fdset_vmm *vmm);

/* A byte, owned, that is 1, and 0 in each child of fork(2), but not in one of vfork(2), which
 * has its parent's memory. NULL where the kernel has none. */
char *own_home_make(void);
void own_home_free(char *home);

/* As fdset_forget(), but waits as fdset_close_wait() does. */
void own_forget_wait(struct fdset_vmm *vmm, int fd);

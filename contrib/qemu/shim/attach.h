/* SPDX-License-Identifier: MIT */
/* The connection to the helper, and who may speak over it now. */
#pragma once

#include "preload.h"

/* Every call into libfdset stands between shim_enter() and shim_leave(): its
 * own calls of open() and close() come by here too, and so do those of a signal
 * handler, and must go straight to libc. */

/* This process's connection. NULL where there is none or this thread is inside
 * already; then no shim_leave(). */
struct fdset_vmm *shim_enter(void);

/* The same, but NULL also where `fd` cannot be a lease; that costs no system call,
 * so that a program's other descriptors are no slower for being closed. */
struct fdset_vmm *shim_enter_for(int fd);

/* The same, but attaches where there is no connection yet. NULL with errno set. */
struct fdset_vmm *shim_enter_attached(void);

void shim_leave(void);

/* Is this thread in there? */
bool shim_is_inside(void);

/* Is this the process whose descriptors are noted here? A child of vfork(2) is another, but has
 * our memory. */
bool shim_is_owner(void);

/* The number that the environment says, if that is a socket of our kind, else -1: in a program
 * that an attached QEMU has started, the number may mean anything. NULL is allowed. */
int shim_inherited(const char *text);

/* The socket to the helper, which the program must not close; or -1, also for
 * libfdset itself and for a child that only inherited it. */
int shim_socket(void);

/* Is `fd` that socket? Again without a system call where it is not. */
bool shim_is_socket(int fd);

/* Before something else is put where `fd` is: if that is the socket, it goes on under
 * another number. Returns 1 if so (then the old one, still open, is the caller's), 0 if it is
 * not the socket, -1 with errno where no other number is free. */
int shim_give_way(int fd);

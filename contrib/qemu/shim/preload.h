/* SPDX-License-Identifier: MIT */
/* libfdset-preload.so: lets a program that knows nothing of fdset-helper open
 * /dev/fdset/N through it. Loaded before libc (LD_PRELOAD), it stands in for
 * the functions by which QEMU opens, closes and looks at files:
 *
 *     interpose-open.c     open, fopen and their kin
 *     interpose-close.c    close, dup2, close_range: all that ends or copies a
 *                          descriptor
 *     interpose-path.c     stat, access, realpath: all that asks about a path
 *     interpose-change.c   chmod, rename, unlink: all that changes what it leads to
 *     interpose-socket.c   write, send, recvmsg: monitors, and what comes by them
 *
 * path.c tells whether a path is meant for us, attach.c has the connection, spawn.c
 * starts a helper where none was named, ask.c has what is known of a set that is not open,
 * open_leases.c remembers what is open, say.c says what went wrong, and libc.c has libc's own
 * functions. What is neither an fdset path nor a
 * lease goes through as it came.
 *
 * To be included before everything else: it keeps the C library's headers from
 * renaming and inlining what is defined here. 64-bit machines only, where
 * open64() is open() and struct stat64 is struct stat. */
#pragma once

#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE

#include <stdbool.h>

#include <fdset/vmm.h>

_Static_assert(sizeof(long) == 8, "open64() must be open()");

#define EXPORTED __attribute__((visibility("default")))

/* One that no header declares. */
#define EXPORTED_UNDECLARED(result, name, parameters) \
    EXPORTED result name parameters;                  \
    EXPORTED result name parameters

/* `name` is one more name for `function`; the second, for one whose structure has another
 * name and the same fields. */
#define EXPORTED_ALIAS(name, function) \
    extern __typeof__(function) name EXPORTED __attribute__((alias(#function)))
#define EXPORTED_ALIAS_OF(result, name, parameters, function) \
    extern result name parameters EXPORTED __attribute__((alias(#function)))

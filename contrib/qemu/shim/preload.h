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
 *
 * path.c tells whether a path is meant for us, attach.c has the connection, spawn.c
 * starts a helper where none was named, sandbox.c does so while QEMU may, ask.c has what is
 * known of a set that is not open, holdings.c remembers what is open, real.c has libc's
 * own functions. What is neither an fdset path nor a lease goes through as it came.
 *
 * To be included before everything else: it keeps the C library's headers from
 * renaming and inlining what is defined here. 64-bit machines only, where
 * open64() is open() and struct stat64 is struct stat. */
#pragma once

#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE

#include <stdbool.h>

#include <fdset/vmm.h>

#include "name.h"

_Static_assert(sizeof(long) == 8, "open64() must be open()");

#define EXPORTED __attribute__((visibility("default")))

/* `name` is one more name for `function`; the second, for one whose structure has another
 * name and the same fields. */
#define EXPORTED_ALIAS(name, function) \
    extern __typeof__(function) name EXPORTED __attribute__((alias(#function)))
#define EXPORTED_ALIAS_OF(result, name, parameters, function) \
    extern result name parameters EXPORTED __attribute__((alias(#function)))

/* ---------------------------------------------------------------- path.c */

/* "/dev/fdset/N" as libfdset wants it; or, where it cannot be a set's, the error that every
 * use of it gets. */
struct set_path {
    int error;
    char text[sizeof "//dev/fdset/" + SET_NAME_MAX_BYTES];
};

/* Does `path` name something below /dev/fdset or $FDSET_PREFIX, in any spelling, such as
 * "//dev/fdset/1" or "/dev/./fdset/1"? Then it is ours, whether there is such a set or not.
 * NULL is allowed. */
bool path_is_set(const char *path, struct set_path *set);

/* Is it /dev/fdset itself? NULL is allowed. */
bool path_is_directory(const char *path);

/* -------------------------------------------------------------- attach.c */

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

/* The socket to the helper, which the program must not close; or -1, also for
 * libfdset itself and for a child that only inherited it. */
int shim_socket(void);

/* Is `fd` that socket? Again without a system call where it is not. */
bool shim_is_socket(int fd);

/* Before something else is put where `fd` is: if that is the socket, it goes on under
 * another number. Returns 1 if so (then the old one, still open, is the caller's), 0 if it is
 * not the socket, -1 with errno where no other number is free. */
int shim_give_way(int fd);

/* $FDSET_PRELOAD_VERBOSE: what fails is to be explained. */
bool shim_is_verbose(void);

/* A sentence on standard error. */
void shim_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* --------------------------------------------------------------- spawn.c */

/* Starts a helper, for when no other was named. As fdset_vmm_spawn(), but has complained. */
int shim_spawn(struct fdset_vmm **vmm);

/* Has somebody said what such a helper is to have, or how it gets it? */
bool shim_may_spawn(void);

/* ------------------------------------------------------------ holdings.c */

/* Leases by set: which of them have locks, and what is open already. */

/* May `fd` be a lease, or a duplicate of one? If not, it is not. */
bool holdings_may_be(int fd);

/* `fd` is no lease from now on. */
void holdings_end(int fd);

/* `fd` is a lease of `set`. */
void holdings_note(struct fdset_vmm *vmm, const struct set_path *set, int fd);

/* `copy` is a duplicate of `fd`. */
void holdings_note_copy(struct fdset_vmm *vmm, int fd, int copy);

/* The program has locked something by `fd`, a lease (F_OFD_SETLK). */
void holdings_note_lock(struct fdset_vmm *vmm, int fd);

/* Has it, by `fd` or a duplicate of it? */
bool holdings_is_locked(struct fdset_vmm *vmm, int fd);

/* An open lease of `set`, or -1. */
int holdings_find(struct fdset_vmm *vmm, const struct set_path *set);

/* Every descriptor that was ever noted is below this. */
int holdings_limit(void);

/* After fork(2), in the child. */
void holdings_forget_all(void);

/* ----------------------------------------------------------------- ask.c */

/* What the helper knows of the set. 0, or -1 with errno. */
int set_look(const struct set_path *set, struct fdset_look_result *look);

/* 0 if there is such a set with a member, else -1 with errno. */
int set_exists(const struct set_path *set);

/* -1 with errno: `error` if there is such a set, else why there is not. */
int set_refuse(const struct set_path *set, int error);

/* A descriptor of the program's own that is a lease of the set, or -1. */
int set_held(const struct set_path *set);

/* ------------------------------------------------------ interpose-open.c */

/* open(2) of a set. */
int set_open(const struct set_path *set, int flags);

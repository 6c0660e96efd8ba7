/* libfdset-preload.so: lets a program that knows nothing of fdset-helper open
 * /dev/fdset/N through it. Loaded before libc (LD_PRELOAD), it stands in for
 * the functions by which QEMU opens, closes and looks at files:
 *
 *     interpose-open.c     open, fopen and their kin
 *     interpose-close.c    close, dup2, close_range: all that ends or copies a
 *                          descriptor
 *     interpose-path.c     stat, access, unlink: all that takes a path
 *
 * path.c tells whether a path is meant for us, attach.c has the connection,
 * holdings.c remembers what is open, real.c has libc's own functions. What is
 * neither an fdset path nor a lease goes through as it came.
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

/* `name` is one more name for `function`. */
#define EXPORTED_ALIAS(name, function) \
    extern __typeof__(function) name EXPORTED __attribute__((alias(#function)))

/* ---------------------------------------------------------------- path.c */

/* "/dev/fdset/N" as libfdset wants it. What does not fit is no set. */
struct set_path {
    char text[64];
};

/* Does `path` name something directly in /dev/fdset or in $FDSET_PREFIX, in any
 * spelling, such as "//dev/fdset/1" or "/dev/./fdset/1"? NULL is allowed. */
bool path_is_set(const char *path, struct set_path *set);

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

/* A sentence on standard error. */
void shim_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* --------------------------------------------------------------- spawn.c */

/* Starts a helper, for when no other was named. As fdset_vmm_spawn(). */
int shim_spawn(struct fdset_vmm **vmm);

/* ------------------------------------------------------------ holdings.c */

/* Leases by set, so that a stat() of what is open need not open it once more.
 * It must not: the helper would give the open file description the new open's
 * flags, and take O_DIRECT away from under a running disk. */

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

/* Has it, by `fd` or a duplicate of it? Then `set` is which set it is. */
bool holdings_is_locked(struct fdset_vmm *vmm, int fd, struct set_path *set);

/* An open lease of `set` that can do `access` (R_OK, W_OK, both or F_OK), or -1. */
int holdings_find(struct fdset_vmm *vmm, const struct set_path *set, int access);

/* Every descriptor that was ever noted is below this. */
int holdings_limit(void);

/* After fork(2), in the child. */
void holdings_forget_all(void);

/* ------------------------------------------------------ interpose-open.c */

/* open(2) of a set. If it `waits`, for as long as $FDSET_WAIT_MS says that a manager
 * may take to pass what is not there; stat(2) and the like do not. */
int set_open(const struct set_path *set, int flags, bool waits);

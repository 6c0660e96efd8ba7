/* SPDX-License-Identifier: MIT */
/* The system calls on the open file description of a descriptor that is held. All but
 * open_file_asks_server(), open_file_unlock() and open_file_sweep() return at once whatever
 * the file system does (measured on FUSE with a server that hangs). */
#pragma once

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What a descriptor is of. */
struct open_file {
    int flags;                      /* F_GETFL */
    mode_t type;                    /* S_IFMT bits */
    uint32_t device, device_number; /* st_dev and st_rdev, packed */
    uint64_t inode;
    /* Until open_file_asks_server() has told: no block device behind it, so
     * it may be a network or FUSE file system. */
    bool may_block;
};

/* statx(2) of `fd`, which it borrows, without asking a server. Returns 0 or -errno. */
struct statx;
int open_file_status(int fd, struct statx *status);

/* Looks at `fd`, which it borrows. Returns 0 or -errno. */
int open_file_look(int fd, struct open_file *file);

/* The settable status flags that the description has now, or -errno. */
int open_file_flags(int fd);

/* Sets the settable status flags (STATUS_SETTABLE) to those in `flags`. The
 * file system may refuse: -EINVAL (no O_DIRECT here), -EPERM (O_NOATIME on
 * somebody else's file; no O_APPEND on one marked append-only: always set). */
int open_file_set_status(int fd, int flags);

/* Puts the manager's status flags back. Where a VMM has cleared O_NOATIME, which is
 * the owner's to set and the helper need not be that, at least the others are put
 * back. Returns the flags that the description has now, or STATUS_UNKNOWN. */
#define STATUS_UNKNOWN (-1)
int open_file_restore_status(int fd, int flags);

/* Clears all OFD locks of the file. May block where a server keeps them. */
void open_file_unlock(int fd);

/* Clears what else a holder can leave: the lock of flock(2), unless these are to be kept, a
 * file lease, and who gets which signal. May block where a server keeps the lock. */
void open_file_sweep(int fd, bool keep_locks);

/* Whether closing and unlocking may wait for a server. Asks it, so it may
 * itself block: for the settle threads only. */
bool open_file_asks_server(int fd);

/* The only pointers that statx and F_OFD_SETLK are given; in read-only memory,
 * so that the sandbox can pin them. */
extern const char open_file_empty_path[1];
extern const struct flock open_file_unlock_all;

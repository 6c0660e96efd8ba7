/* SPDX-License-Identifier: MIT */
/* libc's own functions, past the ones of the same names that stand in for them.
 * Call them as REAL(close)(fd). */
#pragma once

#include "preload.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

/* Result, name, parameters. */
#define REAL_FUNCTIONS(X)                                                            \
    X(int, open, (const char *, int, ...))                                           \
    X(int, openat, (int, const char *, int, ...))                                    \
    X(FILE *, fopen, (const char *, const char *))                                   \
    X(int, close, (int))                                                             \
    X(int, fclose, (FILE *))                                                         \
    X(int, dup, (int))                                                               \
    X(int, dup2, (int, int))                                                         \
    X(int, dup3, (int, int, int))                                                    \
    X(int, fcntl, (int, int, ...))                                                   \
    X(int, close_range, (unsigned, unsigned, int))                                   \
    X(FILE *, freopen, (const char *, const char *, FILE *))                         \
    X(DIR *, opendir, (const char *))                                                \
    X(int, stat, (const char *, struct stat *))                                      \
    X(int, lstat, (const char *, struct stat *))                                     \
    X(int, fstatat, (int, const char *, struct stat *, int))                         \
    X(int, statx, (int, const char *, int, unsigned, struct statx *))                \
    X(int, access, (const char *, int))                                              \
    X(int, euidaccess, (const char *, int))                                          \
    X(int, faccessat, (int, const char *, int, int))                                 \
    X(char *, realpath, (const char *, char *))                                      \
    X(ssize_t, readlink, (const char *, char *, size_t))                             \
    X(ssize_t, readlinkat, (int, const char *, char *, size_t))                      \
    X(int, statfs, (const char *, struct statfs *))                                  \
    X(int, statvfs, (const char *, struct statvfs *))                                \
    X(long, pathconf, (const char *, int))                                           \
    X(ssize_t, getxattr, (const char *, const char *, void *, size_t))               \
    X(ssize_t, lgetxattr, (const char *, const char *, void *, size_t))              \
    X(ssize_t, listxattr, (const char *, char *, size_t))                            \
    X(ssize_t, llistxattr, (const char *, char *, size_t))                           \
    X(int, name_to_handle_at, (int, const char *, struct file_handle *, int *, int)) \
    X(int, chmod, (const char *, mode_t))                                            \
    X(int, fchmodat, (int, const char *, mode_t, int))                               \
    X(int, chown, (const char *, uid_t, gid_t))                                      \
    X(int, lchown, (const char *, uid_t, gid_t))                                     \
    X(int, fchownat, (int, const char *, uid_t, gid_t, int))                         \
    X(int, utime, (const char *, const struct utimbuf *))                            \
    X(int, utimes, (const char *, const struct timeval *))                           \
    X(int, lutimes, (const char *, const struct timeval *))                          \
    X(int, futimesat, (int, const char *, const struct timeval *))                   \
    X(int, utimensat, (int, const char *, const struct timespec *, int))             \
    X(int, setxattr, (const char *, const char *, const void *, size_t, int))        \
    X(int, lsetxattr, (const char *, const char *, const void *, size_t, int))       \
    X(int, removexattr, (const char *, const char *))                                \
    X(int, lremovexattr, (const char *, const char *))                               \
    X(int, mkdir, (const char *, mode_t))                                            \
    X(int, mkdirat, (int, const char *, mode_t))                                     \
    X(int, mkfifo, (const char *, mode_t))                                           \
    X(int, mkfifoat, (int, const char *, mode_t))                                    \
    X(int, mknod, (const char *, mode_t, dev_t))                                     \
    X(int, mknodat, (int, const char *, mode_t, dev_t))                              \
    X(int, symlink, (const char *, const char *))                                    \
    X(int, symlinkat, (const char *, int, const char *))                             \
    X(int, rmdir, (const char *))                                                    \
    X(int, chdir, (const char *))                                                    \
    X(int, rename, (const char *, const char *))                                     \
    X(int, renameat, (int, const char *, int, const char *))                         \
    X(int, renameat2, (int, const char *, int, const char *, unsigned))              \
    X(int, link, (const char *, const char *))                                       \
    X(int, linkat, (int, const char *, int, const char *, int))                      \
    X(int, unlink, (const char *))                                                   \
    X(int, unlinkat, (int, const char *, int))                                       \
    X(int, remove, (const char *))                                                   \
    X(int, truncate, (const char *, off_t))

struct real_functions {
#define X(result, name, parameters) result(*name) parameters;
    REAL_FUNCTIONS(X)
#undef X
};

/* Never NULL. Another library's constructor may call before ours has run. */
const struct real_functions *real_functions(void);

#define REAL(name) (real_functions()->name)

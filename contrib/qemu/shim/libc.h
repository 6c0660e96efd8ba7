/* SPDX-License-Identifier: MIT */
/* libc's own functions, past the ones of the same names that stand in for them.
 * Call them as REAL(close)(fd). */
#pragma once

#include "preload.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

/* By name: the headers of libc say the rest. */
/* clang-format off */
#define REAL_FUNCTIONS(X)                                                                 \
    X(open) X(openat) X(fopen) X(freopen) X(opendir) X(truncate)                          \
    X(write) X(writev) X(send) X(sendto) X(sendmsg)                                       \
    X(read) X(readv) X(recv) X(recvfrom) X(recvmsg) X(ppoll)                              \
    X(close) X(fclose) X(dup) X(dup2) X(dup3) X(fcntl) X(close_range)                     \
    X(stat) X(lstat) X(fstatat) X(statx) X(access) X(euidaccess) X(faccessat)             \
    X(realpath) X(readlink) X(readlinkat) X(statfs) X(statvfs) X(pathconf)                \
    X(getxattr) X(lgetxattr) X(listxattr) X(llistxattr) X(name_to_handle_at)              \
    X(setxattr) X(lsetxattr) X(removexattr) X(lremovexattr)                               \
    X(chmod) X(fchmodat) X(chown) X(lchown) X(fchownat)                                   \
    X(utime) X(utimes) X(lutimes) X(futimesat) X(utimensat)                               \
    X(mkdir) X(mkdirat) X(mkfifo) X(mkfifoat) X(mknod) X(mknodat) X(symlink) X(symlinkat) \
    X(rmdir) X(chdir) X(rename) X(renameat) X(renameat2)                                  \
    X(link) X(linkat) X(unlink) X(unlinkat) X(remove)
/* clang-format on */

struct real_functions {
#define X(name) __typeof__(name) *name;
    REAL_FUNCTIONS(X)
#undef X
};

/* Never NULL. Another library's constructor may call before ours has run. */
const struct real_functions *real_functions(void);

#define REAL(name) (real_functions()->name)

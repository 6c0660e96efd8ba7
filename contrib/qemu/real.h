/* libc's own functions, past the ones of the same names that stand in for them.
 * Call them as REAL(close)(fd). */
#pragma once

#include "preload.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Result, name, parameters. */
#define REAL_FUNCTIONS(X)                                             \
    X(int, open, (const char *, int, ...))                            \
    X(int, openat, (int, const char *, int, ...))                     \
    X(FILE *, fopen, (const char *, const char *))                    \
    X(int, close, (int))                                              \
    X(int, fclose, (FILE *))                                          \
    X(int, dup, (int))                                                \
    X(int, dup2, (int, int))                                          \
    X(int, dup3, (int, int, int))                                     \
    X(int, fcntl, (int, int, ...))                                    \
    X(int, close_range, (unsigned, unsigned, int))                    \
    X(int, stat, (const char *, struct stat *))                       \
    X(int, lstat, (const char *, struct stat *))                      \
    X(int, fstatat, (int, const char *, struct stat *, int))          \
    X(int, statx, (int, const char *, int, unsigned, struct statx *)) \
    X(int, access, (const char *, int))                               \
    X(int, faccessat, (int, const char *, int, int))                  \
    X(char *, realpath, (const char *, char *))                       \
    X(ssize_t, readlink, (const char *, char *, size_t))              \
    X(ssize_t, readlinkat, (int, const char *, char *, size_t))       \
    X(int, unlink, (const char *))                                    \
    X(int, unlinkat, (int, const char *, int))                        \
    X(int, remove, (const char *))

struct real_functions {
#define X(result, name, parameters) result(*name) parameters;
    REAL_FUNCTIONS(X)
#undef X
};

/* Never NULL. Another library's constructor may call before ours has run. */
const struct real_functions *real_functions(void);

#define REAL(name) (real_functions()->name)

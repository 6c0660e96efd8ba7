/* SPDX-License-Identifier: MIT */
/* What would change the name or the nature of what a path leads to. A set's are the
 * manager's: all of these are refused on a set that is there, and find none where there is
 * none. What changes the content is an open: truncate(). */
#include "libc.h"

#include "ask.h"

#include <errno.h>

/* Refused with `error` where one of two paths leads to a set. */
#define REFUSED_BOTH(error, name, parameters, arguments)         \
    EXPORTED int name parameters {                               \
        struct set_path set;                                     \
        if (path_is_set(path, &set) || path_is_set(other, &set)) \
            return set_refuse(&set, error);                      \
        return REAL(name) arguments;                             \
    }

/* clang-format off */
REFUSED(EPERM, int, chmod, (const char *path, mode_t mode), (path, mode))
REFUSED(EPERM, int, fchmodat, (int at, const char *path, mode_t mode, int flags), (at, path, mode, flags))
REFUSED(EPERM, int, chown, (const char *path, uid_t user, gid_t group), (path, user, group))
REFUSED(EPERM, int, lchown, (const char *path, uid_t user, gid_t group), (path, user, group))
REFUSED(EPERM, int, fchownat, (int at, const char *path, uid_t user, gid_t group, int flags), (at, path, user, group, flags))
REFUSED(EPERM, int, utime, (const char *path, const struct utimbuf *times), (path, times))
REFUSED(EPERM, int, utimes, (const char *path, const struct timeval times[2]), (path, times))
REFUSED(EPERM, int, lutimes, (const char *path, const struct timeval times[2]), (path, times))
REFUSED(EPERM, int, futimesat, (int at, const char *path, const struct timeval times[2]), (at, path, times))
REFUSED(EPERM, int, utimensat, (int at, const char *path, const struct timespec times[2], int flags), (at, path, times, flags))
REFUSED(ENOTSUP, int, setxattr, (const char *path, const char *name, const void *value, size_t size, int flags), (path, name, value, size, flags))
REFUSED(ENOTSUP, int, lsetxattr, (const char *path, const char *name, const void *value, size_t size, int flags), (path, name, value, size, flags))
REFUSED(ENOTSUP, int, removexattr, (const char *path, const char *name), (path, name))
REFUSED(ENOTSUP, int, lremovexattr, (const char *path, const char *name), (path, name))

/* It is there already. */
REFUSED(EEXIST, int, mkdir, (const char *path, mode_t mode), (path, mode))
REFUSED(EEXIST, int, mkdirat, (int at, const char *path, mode_t mode), (at, path, mode))
REFUSED(EEXIST, int, mkfifo, (const char *path, mode_t mode), (path, mode))
REFUSED(EEXIST, int, mkfifoat, (int at, const char *path, mode_t mode), (at, path, mode))
REFUSED(EEXIST, int, mknod, (const char *path, mode_t mode, dev_t device), (path, mode, device))
REFUSED(EEXIST, int, mknodat, (int at, const char *path, mode_t mode, dev_t device), (at, path, mode, device))
REFUSED(EEXIST, int, symlink, (const char *target, const char *path), (target, path))
REFUSED(EEXIST, int, symlinkat, (const char *target, int at, const char *path), (target, at, path))

/* It is no directory. */
REFUSED(ENOTDIR, int, rmdir, (const char *path), (path))
REFUSED(ENOTDIR, int, chdir, (const char *path), (path))

/* It is on no file system of the others', so who moves or links copies instead. */
REFUSED_BOTH(EXDEV, rename, (const char *path, const char *other), (path, other))
REFUSED_BOTH(EXDEV, renameat, (int at, const char *path, int at_other, const char *other), (at, path, at_other, other))
REFUSED_BOTH(EXDEV, renameat2, (int at, const char *path, int at_other, const char *other, unsigned flags), (at, path, at_other, other, flags))
REFUSED_BOTH(EXDEV, link, (const char *path, const char *other), (path, other))
REFUSED_BOTH(EXDEV, linkat, (int at, const char *path, int at_other, const char *other, int flags), (at, path, at_other, other, flags))

/* A set is the manager's to remove: QEMU unlinks an image that it failed to
 * create, and need not hear that it could not. */
STANDS_IN(int, unlink, (const char *path), 0, REAL(unlink)(path))
STANDS_IN(int, remove, (const char *path), 0, REAL(remove)(path))
STANDS_IN(int, unlinkat, (int at, const char *path, int flags), flags & AT_REMOVEDIR ? set_refuse(&set, ENOTDIR) : 0, REAL(unlinkat)(at, path, flags))
/* clang-format on */

EXPORTED DIR *opendir(const char *path) {
    struct set_path set;

    if (!path_is_set(path, &set))
        return REAL(opendir)(path);
    set_refuse(&set, ENOTDIR);
    return NULL;
}

static int set_truncate(const struct set_path *set, off_t length) {
    int fd = set_open(set, O_WRONLY | O_CLOEXEC);

    if (fd < 0 && errno == EACCES)
        fd = set_open(set, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int result = ftruncate(fd, length), error = errno;
    close(fd);
    errno = error;
    return result;
}

STANDS_IN(int, truncate, (const char *path, off_t length), set_truncate(&set, length),
          REAL(truncate)(path, length))
EXPORTED_ALIAS(truncate64, truncate);

/* Questions about a path. A set has no name in the file system, so they are
 * put to a member: to one that is open, else to one that is opened for as long
 * as the question takes. */
#include "real.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Opens whatever member there is that can do `access`. */
static int any_open(const struct set_path *set, int access) {
    static const struct {
        int flags, access;
    } modes[] = {{O_RDONLY, R_OK}, {O_RDWR, R_OK | W_OK}, {O_WRONLY, W_OK}};
    int fd = -1;

    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        if (access & ~modes[i].access)
            continue;
        fd = set_open(set, modes[i].flags | O_CLOEXEC, false);
        if (fd >= 0 || errno != EACCES)
            break;
    }
    return fd;
}

/* Returns an open descriptor; `is_held` tells that it is the program's own and
 * must not be closed. -1 with errno set. */
static int set_borrow(const struct set_path *set, int access, bool *is_held) {
    struct fdset_vmm *vmm = shim_enter();
    int fd = -1;

    if (vmm) {
        fd = holdings_find(vmm, set, access);
        shim_leave();
    }
    *is_held = fd >= 0;
    return fd >= 0 ? fd : any_open(set, access);
}

static int set_stat(const struct set_path *set, struct stat *status) {
    bool is_held;
    int fd = set_borrow(set, F_OK, &is_held);

    if (fd < 0)
        return -1;
    int result = fstat(fd, status);
    if (!is_held)
        close(fd);
    return result;
}

EXPORTED int stat(const char *path, struct stat *status) {
    struct set_path set;

    return path_is_set(path, &set) ? set_stat(&set, status) : REAL(stat)(path, status);
}
EXPORTED int stat64(const char *path, struct stat64 *status) {
    return stat(path, (struct stat *)status);
}

EXPORTED int lstat(const char *path, struct stat *status) {
    struct set_path set;

    return path_is_set(path, &set) ? set_stat(&set, status) : REAL(lstat)(path, status);
}
EXPORTED int lstat64(const char *path, struct stat64 *status) {
    return lstat(path, (struct stat *)status);
}

EXPORTED int fstatat(int directory, const char *path, struct stat *status, int flags) {
    struct set_path set;

    return path_is_set(path, &set) ? set_stat(&set, status)
                                   : REAL(fstatat)(directory, path, status, flags);
}
EXPORTED int fstatat64(int directory, const char *path, struct stat64 *status, int flags) {
    return fstatat(directory, path, (struct stat *)status, flags);
}

EXPORTED int statx(int directory, const char *path, int flags, unsigned mask,
                   struct statx *status) {
    struct set_path set;
    bool is_held;

    if (!path_is_set(path, &set))
        return REAL(statx)(directory, path, flags, mask, status);
    int fd = set_borrow(&set, F_OK, &is_held);
    if (fd < 0)
        return -1;
    int result = REAL(statx)(fd, "", flags | AT_EMPTY_PATH, mask, status);
    if (!is_held)
        close(fd);
    return result;
}

/* What stat() and its kin are in a program that was built with a C library
 * before 2.33. `version` is the only one there is on a 64-bit machine. */
#define OLD_STAT(old, new)                                                 \
    EXPORTED int old(int version, const char *path, struct stat *status);  \
    EXPORTED int old(int version, const char *path, struct stat *status) { \
        return new (path, status);                                         \
    }
OLD_STAT(__xstat, stat)
OLD_STAT(__lxstat, lstat)
EXPORTED_ALIAS(__xstat64, __xstat);
EXPORTED_ALIAS(__lxstat64, __lxstat);

EXPORTED int __fxstatat(int version, int directory, const char *path, struct stat *status,
                        int flags);
EXPORTED int __fxstatat(int version, int directory, const char *path, struct stat *status,
                        int flags) {
    return fstatat(directory, path, status, flags);
}
EXPORTED_ALIAS(__fxstatat64, __fxstatat);

static int set_access(const struct set_path *set, int mode) {
    bool is_held;

    if (mode & X_OK) {
        errno = EACCES;
        return -1;
    }
    int fd = set_borrow(set, mode, &is_held);
    if (fd >= 0 && !is_held)
        close(fd);
    return fd < 0 ? -1 : 0;
}

EXPORTED int access(const char *path, int mode) {
    struct set_path set;

    return path_is_set(path, &set) ? set_access(&set, mode) : REAL(access)(path, mode);
}

EXPORTED int faccessat(int directory, const char *path, int mode, int flags) {
    struct set_path set;

    return path_is_set(path, &set) ? set_access(&set, mode)
                                   : REAL(faccessat)(directory, path, mode, flags);
}

/* With two slashes, since QEMU takes "/dev/fdset/" for sets of its own. */
EXPORTED char *realpath(const char *path, char *resolved) {
    struct set_path set;
    struct stat status;

    if (!path_is_set(path, &set))
        return REAL(realpath)(path, resolved);
    if (set_stat(&set, &status) < 0)
        return NULL;
    memmove(set.text + 1, set.text, strlen(set.text) + 1);
    return resolved ? strcpy(resolved, set.text) : strdup(set.text);
}

/* What realpath() becomes with _FORTIFY_SOURCE. */
EXPORTED char *__realpath_chk(const char *path, char *resolved, size_t size);
EXPORTED char *__realpath_chk(const char *path, char *resolved, size_t size) {
    return realpath(path, resolved);
}

/* As for all that is no symbolic link. */
static ssize_t no_link(void) {
    errno = EINVAL;
    return -1;
}

EXPORTED ssize_t readlink(const char *path, char *target, size_t size) {
    struct set_path set;

    return path_is_set(path, &set) ? no_link() : REAL(readlink)(path, target, size);
}

EXPORTED ssize_t readlinkat(int directory, const char *path, char *target, size_t size) {
    struct set_path set;

    return path_is_set(path, &set) ? no_link() : REAL(readlinkat)(directory, path, target, size);
}

/* A set is the manager's to remove: QEMU unlinks an image that it failed to
 * create, and need not hear that it could not. */
EXPORTED int unlink(const char *path) {
    struct set_path set;

    return path_is_set(path, &set) ? 0 : REAL(unlink)(path);
}

EXPORTED int unlinkat(int directory, const char *path, int flags) {
    struct set_path set;

    if (!path_is_set(path, &set))
        return REAL(unlinkat)(directory, path, flags);
    if (!(flags & AT_REMOVEDIR))
        return 0;
    errno = ENOTDIR;
    return -1;
}

EXPORTED int remove(const char *path) {
    struct set_path set;

    return path_is_set(path, &set) ? 0 : REAL(remove)(path);
}

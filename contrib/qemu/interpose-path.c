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

EXPORTED int access(const char *path, int mode) {
    struct set_path set;
    bool is_held;

    if (!path_is_set(path, &set))
        return REAL(access)(path, mode);
    if (mode & X_OK) {
        errno = EACCES;
        return -1;
    }
    int fd = set_borrow(&set, mode, &is_held);
    if (fd >= 0 && !is_held)
        close(fd);
    return fd < 0 ? -1 : 0;
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

EXPORTED ssize_t readlink(const char *path, char *target, size_t size) {
    struct set_path set;

    if (!path_is_set(path, &set))
        return REAL(readlink)(path, target, size);
    errno = EINVAL; /* as for all that is no symbolic link */
    return -1;
}

/* A set is the manager's to remove: QEMU unlinks an image that it failed to
 * create, and need not hear that it could not. */
EXPORTED int unlink(const char *path) {
    struct set_path set;

    return path_is_set(path, &set) ? 0 : REAL(unlink)(path);
}

/* SPDX-License-Identifier: MIT */
/* Questions about a path. A set has no name in the file system: the helper answers, and
 * nothing is opened for it. */
#include "libc.h"

#include "ask.h"

#include <errno.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/sysmacros.h>

static int fails(int error) {
    errno = error;
    return -1;
}

/* /dev/fdset is no directory of the file system's. But who asks about each part of a set's
 * path, as realpath(1) does, must find one. It cannot be opened. */
static bool is_missing_directory(const char *path) {
    return errno == ENOENT && path_is_directory(path);
}

/* ------------------------------------------------------------------- stat */

/* `result` is what the file system says. */
static int directory_stat(const char *path, struct stat *status, int result) {
    if (result == 0 || !is_missing_directory(path))
        return result;
    *status = (struct stat){.st_mode = S_IFDIR | 0555, .st_nlink = 2};
    return 0;
}

static int set_stat(const struct set_path *set, struct stat *status) {
    struct fdset_look_result look;

    if (set_look(set, &look) < 0)
        return -1;
    *status = look.status;
    return 0;
}

STANDS_IN(int, stat, (const char *path, struct stat *status), set_stat(&set, status),
          directory_stat(path, status, REAL(stat)(path, status)))
EXPORTED_ALIAS_OF(int, stat64, (const char *, struct stat64 *), stat);

STANDS_IN(int, lstat, (const char *path, struct stat *status), set_stat(&set, status),
          directory_stat(path, status, REAL(lstat)(path, status)))
EXPORTED_ALIAS_OF(int, lstat64, (const char *, struct stat64 *), lstat);

STANDS_IN(int, fstatat, (int at, const char *path, struct stat *status, int flags),
          set_stat(&set, status),
          directory_stat(path, status, REAL(fstatat)(at, path, status, flags)))
EXPORTED_ALIAS_OF(int, fstatat64, (int, const char *, struct stat64 *, int), fstatat);

/* What stat() and its kin are in a program that was built with a C library
 * before 2.33. `version` is the only one there is on a 64-bit machine. */
EXPORTED_UNDECLARED(int, __xstat, (int version, const char *path, struct stat *status)) {
    return stat(path, status);
}
EXPORTED_ALIAS(__xstat64, __xstat);

EXPORTED_UNDECLARED(int, __lxstat, (int version, const char *path, struct stat *status)) {
    return lstat(path, status);
}
EXPORTED_ALIAS(__lxstat64, __lxstat);

EXPORTED_UNDECLARED(int, __fxstatat,
                    (int version, int at, const char *path, struct stat *status, int flags)) {
    return fstatat(at, path, status, flags);
}
EXPORTED_ALIAS(__fxstatat64, __fxstatat);

static struct statx_timestamp timestamp(struct timespec time) {
    return (struct statx_timestamp){.tv_sec = time.tv_sec, .tv_nsec = (uint32_t)time.tv_nsec};
}

static struct statx statx_of(const struct stat *known) {
    return (struct statx){
        .stx_mask = STATX_BASIC_STATS,
        .stx_blksize = (uint32_t)known->st_blksize,
        .stx_nlink = (uint32_t)known->st_nlink,
        .stx_uid = known->st_uid,
        .stx_gid = known->st_gid,
        .stx_mode = (uint16_t)known->st_mode,
        .stx_ino = known->st_ino,
        .stx_size = (uint64_t)known->st_size,
        .stx_blocks = (uint64_t)known->st_blocks,
        .stx_atime = timestamp(known->st_atim),
        .stx_mtime = timestamp(known->st_mtim),
        .stx_ctime = timestamp(known->st_ctim),
        .stx_rdev_major = major(known->st_rdev),
        .stx_rdev_minor = minor(known->st_rdev),
        .stx_dev_major = major(known->st_dev),
        .stx_dev_minor = minor(known->st_dev),
    };
}

EXPORTED int statx(int directory, const char *path, int flags, unsigned mask,
                   struct statx *status) {
    struct set_path set;
    struct stat known;

    if (path_is_set(path, &set)) {
        if (set_stat(&set, &known) < 0)
            return -1;
    } else {
        int result = REAL(statx)(directory, path, flags, mask, status);
        if (result == 0 || directory_stat(path, &known, result) != 0)
            return result;
    }
    *status = statx_of(&known);
    return 0;
}

/* The C library's own asks the kernel. */
EXPORTED key_t ftok(const char *path, int project) {
    struct stat status;

    if (stat(path, &status) < 0)
        return -1;
    return (key_t)((status.st_ino & 0xffff) | (status.st_dev & 0xff) << 16 |
                   ((unsigned)project & 0xff) << 24);
}

/* ----------------------------------------------------------------- access */

static bool modes_allow(unsigned modes, int access) {
    unsigned enough = 1u << O_RDWR; /* or less is wanted: */

    enough |= access & W_OK ? 0 : 1u << O_RDONLY;
    enough |= access & R_OK ? 0 : 1u << O_WRONLY;
    return !(access & (R_OK | W_OK)) || modes & enough;
}

static int set_access(const struct set_path *set, int access) {
    struct fdset_look_result look;

    if (set_look(set, &look) < 0)
        return -1;
    return access & X_OK || !modes_allow(look.modes, access) ? fails(EACCES) : 0;
}

static int directory_access(const char *path, int mode, int result) {
    if (result == 0 || !is_missing_directory(path))
        return result;
    return mode & W_OK ? fails(EACCES) : 0;
}

STANDS_IN(int, access, (const char *path, int mode), set_access(&set, mode),
          directory_access(path, mode, REAL(access)(path, mode)))
STANDS_IN(int, faccessat, (int at, const char *path, int mode, int flags), set_access(&set, mode),
          directory_access(path, mode, REAL(faccessat)(at, path, mode, flags)))
STANDS_IN(int, euidaccess, (const char *path, int mode), set_access(&set, mode),
          directory_access(path, mode, REAL(euidaccess)(path, mode)))
EXPORTED_ALIAS(eaccess, euidaccess);

/* ------------------------------------------------------------------ names */

/* With two slashes, since QEMU takes "/dev/fdset/" for sets of its own. */
EXPORTED char *realpath(const char *path, char *resolved) {
    struct set_path set;

    if (!path_is_set(path, &set))
        return REAL(realpath)(path, resolved);
    if (set_exists(&set) < 0)
        return NULL;
    memmove(set.text + 1, set.text, strlen(set.text) + 1);
    return resolved ? strcpy(resolved, set.text) : strdup(set.text);
}

EXPORTED char *canonicalize_file_name(const char *path) {
    return realpath(path, NULL);
}

/* What realpath() becomes with _FORTIFY_SOURCE. */
EXPORTED_UNDECLARED(char *, __realpath_chk, (const char *path, char *resolved, size_t size)) {
    return realpath(path, resolved);
}

/* Neither a set nor their directory is a symbolic link. */
static ssize_t directory_readlink(const char *path, ssize_t result) {
    return result < 0 && is_missing_directory(path) ? fails(EINVAL) : result;
}

STANDS_IN(ssize_t, readlink, (const char *path, char *target, size_t size),
          set_refuse(&set, EINVAL), directory_readlink(path, REAL(readlink)(path, target, size)))
STANDS_IN(ssize_t, readlinkat, (int at, const char *path, char *target, size_t size),
          set_refuse(&set, EINVAL),
          directory_readlink(path, REAL(readlinkat)(at, path, target, size)))

/* What they become with _FORTIFY_SOURCE, which has checked `size` against the room. */
EXPORTED_UNDECLARED(ssize_t, __readlink_chk,
                    (const char *path, char *target, size_t size, size_t room)) {
    if (size > room)
        abort();
    return readlink(path, target, size);
}
EXPORTED_UNDECLARED(ssize_t, __readlinkat_chk,
                    (int directory, const char *path, char *target, size_t size, size_t room)) {
    if (size > room)
        abort();
    return readlinkat(directory, path, target, size);
}

/* ------------------------------------------- what is known of open files only */

/* Of what the program has open; `f` and `name` asks about a descriptor. */
#define HELD(result, name, type)                                                           \
    static result set_##name(const struct set_path *set, type argument) {                  \
        int fd = set_held(set);                                                            \
        return fd >= 0 ? f##name(fd, argument) : set_refuse(set, ENOSYS);                  \
    }                                                                                      \
    STANDS_IN(result, name, (const char *path, type argument), set_##name(&set, argument), \
              REAL(name)(path, argument))
HELD(int, statfs, struct statfs *)
HELD(int, statvfs, struct statvfs *)
HELD(long, pathconf, int)
EXPORTED_ALIAS_OF(int, statfs64, (const char *, struct statfs64 *), statfs);
EXPORTED_ALIAS_OF(int, statvfs64, (const char *, struct statvfs64 *), statvfs);

/* Never, so that what a program finds does not depend on what it has open. */
/* clang-format off */
REFUSED(ENOTSUP, ssize_t, getxattr, (const char *path, const char *name, void *value, size_t size), (path, name, value, size))
REFUSED(ENOTSUP, ssize_t, lgetxattr, (const char *path, const char *name, void *value, size_t size), (path, name, value, size))
REFUSED(ENOTSUP, ssize_t, listxattr, (const char *path, char *list, size_t size), (path, list, size))
REFUSED(ENOTSUP, ssize_t, llistxattr, (const char *path, char *list, size_t size), (path, list, size))
REFUSED(ENOTSUP, int, name_to_handle_at, (int at, const char *path, struct file_handle *handle, int *mount, int flags), (at, path, handle, mount, flags))
/* clang-format on */

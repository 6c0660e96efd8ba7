/* SPDX-License-Identifier: MIT */
/* Finds the emulator and our own programs, and what keeps the emulator from having a library
 * preloaded. */
#include "places.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/memory.h"
#include "common/say.h"

#define DEFAULT_EMULATOR "qemu-system-x86_64"

/* Where this very program is, or NULL. */
static const char *own_directory(void) {
    static char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);

    if (length < 0)
        return NULL;
    path[length] = '\0';
    char *slash = strrchr(path, '/');
    if (!slash)
        return NULL;
    *slash = '\0';
    return path;
}

static bool is_ourselves(const char *path) {
    struct stat status, own;
    return stat(path, &status) == 0 && stat("/proc/self/exe", &own) == 0 &&
           status.st_dev == own.st_dev && status.st_ino == own.st_ino;
}

/* In the build tree our companions are beside us, and nothing needs installing. */
static const char *in_build_tree(const char *relative) {
    const char *directory = own_directory();

    if (!directory || access(xasprintf("%s/libfdset-preload.so", directory), R_OK) < 0)
        return NULL;
    return xasprintf("%s/%s", directory, relative);
}

/* ------------------------------------------------------------ the emulator */

/* As a shell would find it, but never ourselves. */
static const char *program_find(const char *name) {
    const char *path = getenv("PATH");
    if (strchr(name, '/'))
        return is_ourselves(name) || access(name, X_OK) < 0 ? NULL : name;
    for (const char *at = path ? path : "/usr/local/bin:/usr/bin:/bin"; at;) {
        size_t length = strcspn(at, ":");
        const char *found = xasprintf("%.*s%s%s", (int)length, at, length > 0 ? "/" : "", name);
        if (length > 0 && access(found, X_OK) == 0 && !is_ourselves(found))
            return found;
        at = at[length] ? at + length + 1 : NULL;
    }
    errno = ENOENT;
    return NULL;
}

/* "fdset-qemu-system-arm" is qemu-system-arm; "fdset-qemu" says nothing. */
static const char *name_from_own(const char *called) {
    const char *slash = strrchr(called, '/');
    const char *name = slash ? slash + 1 : called;

    if (strncmp(name, "fdset-", strlen("fdset-")) != 0 || strcmp(name, "fdset-qemu") == 0)
        return NULL;
    return name + strlen("fdset-");
}

const char *place_of_emulator(const struct own_options *own, const char *called) {
    const char *name = own->emulator;

    if (!name || !*name)
        name = getenv("FDSET_EMULATOR");
    if (!name || !*name)
        name = name_from_own(called);
    if (!name || !*name)
        name = DEFAULT_EMULATOR;
    const char *found = program_find(name);
    if (!found)
        die("%s: %s: name the emulator with --fdset-emulator or FDSET_EMULATOR", name,
            is_ourselves(name) ? "this is fdset-qemu itself" : strerror(errno));
    return found;
}

/* ------------------------------------------------------------ companions */

const char *place_of_helper(const struct own_options *own) {
    const char *place = own->helper;

    if (!place)
        place = getenv("FDSET_HELPER");
    if (!place || !*place)
        place = in_build_tree("../../helper/fdset-helper");
    return place ? place : FDSET_HELPER_PATH;
}

const char *place_of_preload(void) {
    const char *place = in_build_tree("libfdset-preload.so");

    if (!place)
        place = FDSET_PRELOAD_PATH;
    if (access(place, R_OK) < 0)
        die("%s: %s", place, strerror(errno));
    /* The dynamic linker knows no way to write these in a name. */
    if (strpbrk(place, ": \t\n"))
        die("%s: a blank or colon in this name cannot be put into LD_PRELOAD: install fdset-helper "
            "where there is none",
            place);
    return place;
}

/* -------------------------------------------- whether it can have the library */

/* Where it cannot, it asks the kernel for //dev/fdset/N, and says that there is no such file. */

/* The rights of a file count for nothing to who has promised to gain none by it, nor on
 * a file system that was mounted so. */
static bool rights_count(const char *path) {
    struct statvfs mount;
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 &&
           !(statvfs(path, &mount) == 0 && mount.f_flag & ST_NOSUID);
}

/* What the kernel tells the dynamic linker by AT_SECURE, as far as the file alone says. */
static const char *right_gained(const char *path) {
    struct stat status;

    if (!rights_count(path) || stat(path, &status) < 0)
        return NULL;
    if (status.st_mode & S_ISUID && status.st_uid != getuid())
        return "is set-user-ID";
    if (status.st_mode & S_ISGID && status.st_mode & S_IXGRP && status.st_gid != getgid())
        return "is set-group-ID";
    if (getuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0)
        return "has capabilities of its own (setcap)";
    return NULL;
}

static const char *kind_told(int fd) {
    Elf64_Ehdr header;
    Elf64_Phdr segment;

    if (pread(fd, &header, sizeof(header), 0) != sizeof(header) ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
        return NULL; /* a script, perhaps */
    if (header.e_ident[EI_CLASS] != ELFCLASS64)
        return "is not a program of 64 bits";
    for (size_t i = 0; i < header.e_phnum; i++) {
        off_t place = (off_t)(header.e_phoff + i * header.e_phentsize);
        if (pread(fd, &segment, sizeof(segment), place) != sizeof(segment) ||
            segment.p_type == PT_INTERP)
            return NULL;
    }
    return "is linked statically";
}

const char *library_hindrance(const char *path) {
    const char *why = right_gained(path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (!why && fd >= 0)
        why = kind_told(fd);
    if (fd >= 0)
        close(fd);
    return why;
}

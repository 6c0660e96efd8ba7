/* SPDX-License-Identifier: MIT */
/* Whether an emulator can have a library preloaded. Where it cannot, it asks the kernel
 * for //dev/fdset/N, and says that there is no such file. */
#include "places.h"

#include <elf.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

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

/* SPDX-License-Identifier: MIT */
/* What opens a set as a file: open(2), fopen(3) and their kin. */
#include "ask.h"
#include "attach.h"
#include "libc.h"
#include "number.h"
#include "open_leases.h"
#include "say.h"

#include <errno.h>
#include <fdset/limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* $FDSET_WAIT_MS: for a program that cannot say itself that it would wait. */
static unsigned patience(void) {
    const char *text = getenv("FDSET_WAIT_MS");
    uint64_t wait_ms;

    if (!text || !*text)
        return 0;
    if (!number_parse(text, UINT64_MAX, &wait_ms)) {
        shim_complain("FDSET_WAIT_MS=%s is not a number of milliseconds", text);
        return 0;
    }
    return wait_ms < FDSET_MAX_WAIT_MS ? wait_ms : FDSET_MAX_WAIT_MS;
}

int set_open(const struct set_path *set, int flags) {
    if (set->error) {
        errno = set->error;
        return -1;
    }
    if (flags & O_DIRECTORY)
        return set_refuse(set, ENOTDIR);
    if (flags & O_PATH) /* of a place in the file system, which a set has not */
        return set_refuse(set, ENOTSUP);
    struct fdset_vmm *vmm = shim_enter_attached();
    if (!vmm)
        return -1;
    bool is_first = open_leases_find(vmm, set) < 0;
    int fd = fdset_open_wait(vmm, set->text, flags, patience());
    if (fd >= 0) {
        open_leases_note(vmm, set, fd);
        /* Whoever had the member before may have left it at the end of the file. */
        if (is_first)
            lseek(fd, 0, SEEK_SET);
    } else if (shim_is_verbose())
        shim_complain("%s", fdset_error_text());
    shim_leave();
    if (fd >= 0)
        return fd;
    errno = -fd;
    return -1;
}

/* open(2) has its third parameter only where it may create a file. */
static mode_t mode_read(int flags, va_list arguments) {
    return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(arguments, mode_t) : 0;
}

EXPORTED int open(const char *path, int flags, ...) {
    struct set_path set;
    va_list arguments;

    if (path_is_set(path, &set))
        return set_open(&set, flags);
    va_start(arguments, flags);
    mode_t mode = mode_read(flags, arguments);
    va_end(arguments);
    return REAL(open)(path, flags, mode);
}
EXPORTED_ALIAS(open64, open);

EXPORTED int openat(int directory, const char *path, int flags, ...) {
    struct set_path set;
    va_list arguments;

    if (path_is_set(path, &set))
        return set_open(&set, flags);
    va_start(arguments, flags);
    mode_t mode = mode_read(flags, arguments);
    va_end(arguments);
    return REAL(openat)(directory, path, flags, mode);
}
EXPORTED_ALIAS(openat64, openat);

EXPORTED int creat(const char *path, mode_t mode) {
    return open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}
EXPORTED_ALIAS(creat64, creat);

/* What open() and openat() become with _FORTIFY_SOURCE. */
EXPORTED_UNDECLARED(int, __open_2, (const char *path, int flags)) {
    return open(path, flags);
}
EXPORTED_ALIAS(__open64_2, __open_2);

EXPORTED_UNDECLARED(int, __openat_2, (int directory, const char *path, int flags)) {
    return openat(directory, path, flags);
}
EXPORTED_ALIAS(__openat64_2, __openat_2);

/* The flags of open(2) that fopen(3)'s mode means, or -1. */
static int mode_to_flags(const char *mode) {
    int access = strchr(mode, '+') ? O_RDWR : mode[0] == 'r' ? O_RDONLY : O_WRONLY;
    int others = (strchr(mode, 'x') ? O_EXCL : 0) | (strchr(mode, 'e') ? O_CLOEXEC : 0);

    return mode[0] == 'r'   ? access | others
           : mode[0] == 'w' ? access | others | O_CREAT | O_TRUNC
           : mode[0] == 'a' ? access | others | O_CREAT | O_APPEND
                            : -1;
}

EXPORTED FILE *fopen(const char *path, const char *mode) {
    struct set_path set;

    if (!path_is_set(path, &set))
        return REAL(fopen)(path, mode);
    int flags = mode_to_flags(mode);
    if (flags < 0) {
        errno = EINVAL;
        return NULL;
    }
    int fd = set_open(&set, flags);
    if (fd < 0)
        return NULL;
    FILE *stream = fdopen(fd, mode);
    if (!stream)
        close(fd);
    return stream;
}
EXPORTED_ALIAS(fopen64, fopen);

/* A stream cannot be given a descriptor of another's making. As where the open fails, the
 * stream is closed. */
EXPORTED FILE *freopen(const char *path, const char *mode, FILE *stream) {
    struct set_path set;

    if (!path_is_set(path, &set))
        return REAL(freopen)(path, mode, stream);
    fclose(stream);
    set_refuse(&set, ENOTSUP);
    return NULL;
}
EXPORTED_ALIAS(freopen64, freopen);

/* SPDX-License-Identifier: MIT */
/* Finds the emulator and our own programs. */
#include "places.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

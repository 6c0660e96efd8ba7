/* SPDX-License-Identifier: MIT */
/* Which paths lead to a set: by their text alone. */
#include "path.h"

#include "name.h"
#include "say.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(SET_PATH_PREFIX) + FDSET_MAX_SET_NAME_BYTES <
                   sizeof(((struct set_path *)0)->text),
               "the longest name fits, and one slash more");

/* Skips slashes and "." components, as the kernel does. */
static const char *separator_skip(const char *path) {
    while (path[0] == '/' || (path[0] == '.' && path[1] == '/'))
        path++;
    return path;
}

/* What `path` has below `directory`, compared by components; NULL where it is
 * not below it. */
static const char *below(const char *path, const char *directory) {
    for (;;) {
        path = separator_skip(path);
        directory = separator_skip(directory);
        size_t length = strcspn(directory, "/");
        if (length == 0)
            return path;
        if (strncmp(path, directory, length) || path[length] != '/')
            return NULL;
        path += length;
        directory += length;
    }
}

/* The directory itself is the file system's; all below it is ours, so that what cannot be
 * a set's name leads to no file of that name either. */
static bool is_set(const char *path, const char *directory, struct set_path *set) {
    const char *name = below(path, directory);

    if (!name || !*name || strcmp(name, ".") == 0)
        return false;
    size_t length = strlen(name);
    set->error = strchr(name, '/') ? ENOENT : length > FDSET_MAX_SET_NAME_BYTES ? ENAMETOOLONG : 0;
    set->text[0] = '\0';
    if (!set->error)
        strcpy(stpcpy(set->text, SET_PATH_PREFIX), name);
    return true;
}

/* Copies `path` without its "..", each of which takes back the component before
 * it: by the text alone, as nothing of the sets is in the file system. What names a
 * directory by its end still does. False where it is too long for the kernel as well. */
static bool parents_resolve(const char *path, char resolved[PATH_MAX]) {
    char *end = resolved;

    if (strlen(path) >= PATH_MAX)
        return false;
    while (*path) {
        size_t length = 1 + strcspn(path + 1, "/"); /* a slash and what follows */
        if (length == 3 && strncmp(path, "/..", 3) == 0) {
            while (end > resolved && *--end != '/')
                ;
            if (!path[length])
                *end++ = '/';
        } else if (!path[length] || length > 2 || (length == 2 && path[1] != '.')) {
            end = mempcpy(end, path, length);
        }
        path += length;
    }
    *end = '\0';
    return true;
}

/* $FDSET_PREFIX, or NULL. */
static const char *other_directory;

__attribute__((constructor)) static void other_directory_find(void) {
    const char *text = getenv("FDSET_PREFIX");

    if (!text || !*text)
        return;
    if (text[0] != '/' || !*separator_skip(text) || strstr(text, "/.."))
        shim_complain("FDSET_PREFIX=%s is not a directory below /", text);
    else
        other_directory = strdup(text);
}

static bool is_directory(const char *path) {
    char ended[PATH_MAX + 1];

    if (strlen(path) >= PATH_MAX)
        return false;
    strcpy(stpcpy(ended, path), "/");
    const char *rest = below(ended, "/dev/fdset");
    return rest && !*rest;
}

static bool is_any_set(const char *path, struct set_path *set) {
    return is_set(path, "/dev/fdset", set) ||
           (other_directory && is_set(path, other_directory, set));
}

/* With a "..", which is rare, it takes a buffer; whether it is the directory where `set` is
 * NULL. */
static __attribute__((noinline)) bool leads(const char *path, struct set_path *set) {
    char resolved[PATH_MAX];

    if (!parents_resolve(path, resolved))
        return false;
    return set ? is_any_set(resolved, set) : is_directory(resolved);
}

bool path_is_directory(const char *path) {
    if (!path || path[0] != '/')
        return false;
    return strstr(path, "/..") ? leads(path, NULL) : is_directory(path);
}

bool path_is_set(const char *path, struct set_path *set) {
    if (!path || path[0] != '/')
        return false;
    return strstr(path, "/..") ? leads(path, set) : is_any_set(path, set);
}

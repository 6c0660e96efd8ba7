#include "preload.h"

#include <string.h>

/* Skips slashes and "." components, as the kernel does. */
static const char *separator_skip(const char *path) {
    while (path[0] == '/' || (path[0] == '.' && path[1] == '/'))
        path++;
    return path;
}

/* Skips the component `name`, which a slash must follow; NULL where it is not there. */
static const char *component_skip(const char *path, const char *name) {
    size_t length = strlen(name);

    if (!path || strncmp(path, name, length) || path[length] != '/')
        return NULL;
    return separator_skip(path + length);
}

bool path_is_set(const char *path, struct set_path *set) {
    static const char prefix[] = "/dev/fdset/";

    if (!path || path[0] != '/')
        return false;
    path = component_skip(component_skip(separator_skip(path), "dev"), "fdset");
    if (!path || path[0] == '\0' || path[0] == '.' || strchr(path, '/'))
        return false;
    if (strlen(prefix) + strlen(path) >= sizeof set->text)
        return false;
    strcpy(stpcpy(set->text, prefix), path);
    return true;
}

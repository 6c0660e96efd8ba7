/* SPDX-License-Identifier: MIT */
/* Which paths are a set's. */
#pragma once

#include "name.h"
#include "preload.h"

/* "/dev/fdset/N" as libfdset wants it; or, where it cannot be a set's, the error that every
 * use of it gets. */
struct set_path {
    int error;
    char text[sizeof("//dev/fdset/") + FDSET_MAX_SET_NAME_BYTES];
};

/* Does `path` name something below /dev/fdset or $FDSET_PREFIX, in any spelling, such as
 * "//dev/fdset/1" or "/dev/./fdset/1"? Then it is ours, whether there is such a set or not.
 * NULL is allowed. */
bool path_is_set(const char *path, struct set_path *set);

/* Is it /dev/fdset itself? NULL is allowed. */
bool path_is_directory(const char *path);

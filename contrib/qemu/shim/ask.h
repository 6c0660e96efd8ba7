/* SPDX-License-Identifier: MIT */
/* What is known of a set without opening it; and its open. */
#pragma once

#include "path.h"

/* What the helper knows of the set. 0, or -1 with errno. */
int set_look(const struct set_path *set, struct fdset_look_result *look);

/* 0 if there is such a set with a member, else -1 with errno. */
int set_exists(const struct set_path *set);

/* -1 with errno: `error` if there is such a set, else why there is not. */
int set_refuse(const struct set_path *set, int error);

/* open(2) of a set. */
int set_open(const struct set_path *set, int flags);

/* A descriptor of the program's own that is a lease of the set, or -1. */
int set_held(const struct set_path *set);

/* Defines what stands in for libc's `name`: `ours` is its answer where `path` leads to a set,
 * which is `set` there, and `theirs` is that for all other paths. */
#define STANDS_IN(result, name, parameters, ours, theirs)   \
    EXPORTED result name parameters {                       \
        struct set_path set;                                \
        return path_is_set(path, &set) ? (ours) : (theirs); \
    }

/* The same, where a set is refused with `error`. */
#define REFUSED(error, result, name, parameters, arguments) \
    STANDS_IN(result, name, parameters, set_refuse(&set, error), REAL(name) arguments)

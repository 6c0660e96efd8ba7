/* SPDX-License-Identifier: MIT */
/* What one helper has, or all that can be found. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <fdset/manager.h>

#include "ask/file.h"
#include "base/options.h"

struct helper_source {
    char *vm; /* NULL where nothing tells */
    char *socket;
    struct fdset_listing *listing;
};

struct sources {
    struct helper_source *all;
    size_t count;
    bool several; /* all helpers were asked for, */
    bool failed;  /* and not each could be */
};

/* Where to look; without `all`, it is one helper. */
#define MAX_DIRECTORIES 16
struct where {
    bool all; /* those of the usual directories, or of these */
    const char *directories[MAX_DIRECTORIES];
    size_t count;
};

/* Reads a verb's --directory into a struct where. */
void where_directory(void *where, const char *name, const char *directory);

/* Asks the one helper that `line` names, and ends the program where that fails; or all, and
 * says on standard error which could not be asked. */
struct sources sources_ask(const struct verb_line *line, const struct where *where,
                           const struct fdset_filter *filter);
void sources_free(struct sources *sources);

/* One member of the file after the other, over all helpers; NULL after the last. The
 * cursor is zero at first. */
struct member_cursor {
    size_t source, set, member;
};
const struct fdset_member_info *sources_next(const struct sources *sources,
                                             const struct file_id *file,
                                             struct member_cursor *cursor);

/* SPDX-License-Identifier: MIT */
/* What one helper has, or all that can be found; of one file, or of all. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <fdset/manager.h>

#include "base/options.h"

/* A file by what the kernel knows it by, whatever its path. */
struct file_id {
    mode_t type; /* S_IFMT bits */
    dev_t device;
    ino_t inode;
    dev_t number; /* of a device: it is the same by whichever node */
};

/* The file at `path`, or ends the program. */
struct file_id file_id_read(const char *path);

/* Is the member of this file? NULL is any. */
bool file_id_fits(const struct file_id *file, const struct fdset_member_info *member);

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

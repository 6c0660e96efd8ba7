/* SPDX-License-Identifier: MIT */
/* The command line of fdsetctl add. */
#pragma once

#include <fdset/limits.h>

#include "base/options.h"

/* As many as one request can carry. */
#define MAX_MEMBERS FDSET_MAX_DESCRIPTORS

enum mode { READ_ONLY, READ_WRITE, WRITE_ONLY, MODE_COUNT };

struct add_options {
    int set;
    const char *owner;
    struct fdset_add each; /* what all sets have in common */
    bool modes[MODE_COUNT];
    uint32_t copies; /* members of each mode */
    bool direct, append, sync;
    struct fdset_member member; /* what all members have in common */
    bool shared, exclusive;
    char *const *files;
    size_t file_count;
    int fds[MAX_MEMBERS];
    size_t fd_count;
    bool path, json, no_headings;
};

/* Reads the command line into `options`, or ends the program. */
void add_options_read(struct add_options *options, struct verb_line *line);

/* O_DIRECT, O_APPEND and O_SYNC, as they are asked for. */
int add_status_flags(const struct add_options *options);

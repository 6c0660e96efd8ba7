/* SPDX-License-Identifier: MIT */
/* The command line of fdsetctl add. */
#pragma once

#include <fdset/limits.h>

#include "base/verb.h"

/* As many as one request can carry. */
#define MAX_MEMBERS FDSET_MAX_DESCRIPTORS

enum mode { READ_ONLY, READ_WRITE, WRITE_ONLY, MODE_COUNT };

struct add_options {
    const char *name; /* "fdsetctl add" */
    const char *socket;
    int set;
    const char *owner;
    struct fdset_add each; /* what all sets have in common */
    bool modes[MODE_COUNT];
    uint32_t copies;            /* members of each mode */
    int status_flags;           /* O_DIRECT, O_APPEND, O_SYNC */
    struct fdset_member member; /* what all members have in common */
    char *const *files;
    size_t file_count;
    int fds[MAX_MEMBERS];
    size_t fd_count;
    bool path, json, headings;
};

/* Reads the command line into `options`, or ends the program. */
void add_options_read(struct add_options *options, int argc, char **argv);

/* How many access modes are asked for. */
size_t add_mode_count(const struct add_options *options);

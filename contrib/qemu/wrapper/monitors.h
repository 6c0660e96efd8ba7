/* SPDX-License-Identifier: MIT */
/* Which words make a monitor, and what they become. */
#pragma once

#include "command-line.h"
#include "qemu_opts.h"
#include "sockets.h"

#define MAX_MONITORS 32

/* A monitor of which the proxy makes two. */
struct monitor {
    size_t word; /* the argument that says where it is */
    bool is_human, is_stdio;
    struct pairs pairs; /* its chardev's */
    const char *prefix; /* what stands before them */
    const char *first;  /* the key that may be left out */

    struct endpoint management;
    int emulators; /* the socket that the emulator gets, */
    int proxys;    /* and what the proxy reaches it by */
};

struct monitors {
    struct monitor items[MAX_MONITORS];
    size_t count;
    bool any_control; /* there is one that speaks QMP */
};

void monitors_find(struct monitors *monitors, const struct command_line *line);

/* Makes their sockets and writes the new ones into the command line. */
void monitors_divert(struct monitors *monitors, struct command_line *line);

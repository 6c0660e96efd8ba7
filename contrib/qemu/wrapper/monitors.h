/* SPDX-License-Identifier: MIT */
/* Which words make a monitor, and what they become. */
#pragma once

#include "command-line.h"
#include "qemu_opts.h"
#include "relay.h"

/* A monitor between whose two ends the relay is to stand. */
struct wrapped_monitor {
    size_t word; /* the argument that says where it is */
    bool is_human, is_stdio;
    struct pairs pairs; /* its chardev's */
    const char *prefix; /* what stands before them */
    const char *first;  /* the key that may be left out */
};

struct monitors {
    struct wrapped_monitor items[MONITORS_MAX];
    size_t count;
    bool any_control; /* there is one that speaks QMP */
};

void monitors_find(struct monitors *monitors, const struct command_line *line);

/* Makes their sockets and writes the emulator's into the command line; `setup` gets what the
 * relay is to serve. */
void monitors_divert(struct monitors *monitors, struct command_line *line,
                     struct relay_setup *setup);

/* SPDX-License-Identifier: MIT */
/* -add-fd, which become members of the helper's sets. */
#pragma once

#include <fdset/manager.h>

#include "add_fd.h"
#include "command-line.h"

struct members {
    struct add_fd *items;
    size_t count;
};

/* Takes the -add-fd options out of the command line. Dies where QEMU would. */
void members_read(struct members *members, struct command_line *line);

/* Gives them to the helper, and closes our own: the emulator has them not. */
void members_hand_over(struct members *members, struct fdset_manager *manager);

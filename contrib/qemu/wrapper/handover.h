/* SPDX-License-Identifier: MIT */
/* -add-fd: the helper gets what the command line names, and QEMU gets portals. */
#pragma once

#include <fdset/manager.h>

#include "add_fd.h"
#include "command-line.h"

struct add_fds {
    struct add_fd *items;
    size_t count;
    int *portals; /* one for each */
    char *told;   /* what the preload library is to know; NULL: nothing */
};

/* Reads them, and makes a portal for each. Dies where one makes no sense. */
void add_fds_read(struct add_fds *adds, const struct command_line *line);

/* Where opens wait for members, QEMU must have portals for those that are not there: adds
 * them for each set that the command line names. */
void add_fds_hidden(struct add_fds *adds, struct command_line *line);

/* They become the helper's, and the portals are bound; for who goes on with neither. Dies where
 * one is refused. */
void add_fds_hand_over(const struct add_fds *adds, struct fdset_manager *manager);

/* Leaves what QEMU need not have behind: each number stands for its portal from now on. */
void add_fds_leave(const struct add_fds *adds);

/* SPDX-License-Identifier: MIT */
/* A monitor: where clients connect, and where the emulator listens. For each
 * client a connection to the emulator is made, so that each is greeted. */
#pragma once

#include <sys/types.h>

#include "link.h"

/* Where to connect or listen: a path, or an inherited descriptor. */
struct address {
    const char *path; /* NULL: */
    int fd;
};

struct relay_monitor {
    struct relay *relay;
    struct address listen, emulator;
    bool human;

    /* The rest is the monitor's own. */
    struct relay_watch watch;
    int link_count;
    int client;    /* accepted, but the emulator had no room for it yet; -1: none */
    bool paused;   /* for want of room, or of something else: tried again later */
    bool finished; /* there will be no more clients */
    bool once;     /* one client: the socket was connected already */
    dev_t device;  /* of the socket that was made at listen.path, */
    ino_t inode;   /* to unlink that and no other's */
};

/* Begins to listen. -errno with a message on standard error. */
int monitor_begin(struct relay_monitor *monitor);

/* Tries again what a paused monitor could not do. */
void monitor_resume(struct relay_monitor *monitor);

/* No more clients; those that there are stay. */
void monitor_finish(struct relay_monitor *monitor);

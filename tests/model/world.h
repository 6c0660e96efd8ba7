/* SPDX-License-Identifier: MIT */
/* The files that the histories are about, and what this machine's kernel does
 * with them: found out by trying, so that the reference need not know. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    FILE_REGULAR = 0, /* and the three after it */
    FILE_MEMFD = 4,   /* no name: closed on a settle thread */
    FILE_FIFO = 5,
    FILE_DEVICE = 6, /* closed there too */
    FILE_COUNT = 7,
    FILE_DIRECTORY = 7, /* what must be refused, from here on */
    FILE_PATH_ONLY = 8,
    FILE_SOCKET = 9,
    FILE_ALL = 10,
};

struct world_file {
    char path[96];
    uint64_t device, inode;
    uint32_t type;          /* S_IFMT bits */
    uint64_t device_number; /* of a device, which one */
    bool can_direct;        /* O_DIRECT can be set */
    int base;               /* a descriptor that keeps it there */
};

struct world {
    char directory[64];
    struct world_file files[FILE_ALL];

    /* Learned from the helper, as that depends on its user and namespaces: */
    bool sets_noatime;  /* it owns the files */
    uint32_t late_user; /* who we are to it when we connect by path */
    bool sees_pid;      /* for connections by path */
};

/* Makes the files. Before a helper is started, so that all of it is inherited. */
void world_make(struct world *world);
void world_remove(struct world *world);

/* A new open file description of one of them; the harness keeps it. */
int world_open(const struct world *world, int file, int flags);

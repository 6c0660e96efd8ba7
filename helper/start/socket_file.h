/* SPDX-License-Identifier: MIT */
/* Sockets that have a name in the file system. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "model/refusal.h"

struct socket_file {
    const char *path; /* borrowed */
    mode_t mode;
    uid_t owner; /* -1: who makes it, as of the group */
    gid_t group;
    int fd; /* listening, once it is made; its owner's */
};

/* Makes and listens at all of them, or at none; nobody can connect before mode and owner are
 * right. A socket in the way that nobody listens at is replaced: a helper that has ended leaves
 * its own. Of several helpers that do this at one time for the same paths, however spelt, one
 * gets them all and the others are refused. Returns 0, or -errno with a sentence. */
int socket_files_make(struct socket_file *files, size_t count, struct refusal *refusal);

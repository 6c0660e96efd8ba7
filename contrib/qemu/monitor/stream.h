/* SPDX-License-Identifier: MIT */
/* Bytes and descriptors over a SOCK_STREAM socket of AF_UNIX: what comes in with
 * a read, and what is to go out. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "text.h"

/* What a read brought beside the bytes. */
struct arrival {
    int fd;    /* -1: none */
    bool lost; /* some did not get through, and all were closed */
};

/* Reads once, without waiting. Returns how many bytes, 0 at the end, or -errno.
 * Of descriptors that come together the first is the caller's, as no command takes two; the
 * others are closed. It is close-on-exec; its status flags are left alone. */
ssize_t stream_receive(int socket, char *bytes, size_t size, struct arrival *arrival);

/* ---------------------------------------------------------------- outgoing */

struct chunk;

/* Zero-initialise. */
struct outgoing {
    struct chunk *first, *last;
    size_t length; /* bytes that have not gone out */
    bool failed;   /* memory ran out: something is missing */
};

/* Puts bytes at the end, with a descriptor at their first byte, consumed, unless that is -1. */
void outgoing_put(struct outgoing *outgoing, struct span bytes, int fd);

/* Sends what can be sent without waiting. 0, also where something is left, or -errno. */
int outgoing_flush(struct outgoing *outgoing, int socket);

void outgoing_free(struct outgoing *outgoing);

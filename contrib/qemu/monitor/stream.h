/* SPDX-License-Identifier: MIT */
/* Bytes and descriptors over a SOCK_STREAM socket of AF_UNIX: what comes in with
 * a read, and what is to go out. */
#pragma once

#include <fdset/limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "text.h"

/* The kernel's SCM_MAX_FD. */
#define PARCEL_MAX FDSET_MAX_DESCRIPTORS

/* Descriptors that came with bytes, and belong to whoever has the parcel. */
struct parcel {
    size_t count;
    int fd[];
};

/* One of one descriptor, consumed; NULL where that is -1, or memory ran out. */
struct parcel *parcel_new(int fd);

/* Closes them. NULL is allowed. */
void parcel_free(struct parcel *parcel);

/* Takes the first out, closes the rest and frees the parcel. */
int parcel_first(struct parcel *parcel);

/* What a read brought beside the bytes. */
struct arrival {
    struct parcel *parcel; /* NULL: no descriptors */
    bool lost;             /* some did not get through, and all were closed */
};

/* Reads once, without waiting. Returns how many bytes, 0 at the end, or -errno.
 * Descriptors are close-on-exec; their status flags are left alone. */
ssize_t stream_receive(int socket, char *bytes, size_t size, struct arrival *arrival);

/* ---------------------------------------------------------------- outgoing */

struct chunk;

/* Zero-initialise. */
struct outgoing {
    struct chunk *first, *last;
    size_t length; /* bytes that have not gone out */
    bool failed;   /* memory ran out: something is missing */
};

/* Puts bytes at the end, with descriptors at their first byte. Consumes `parcel`,
 * which may be NULL. */
void outgoing_put(struct outgoing *outgoing, struct span bytes, struct parcel *parcel);

/* Sends what can be sent without waiting. 0, also where something is left, or -errno. */
int outgoing_flush(struct outgoing *outgoing, int socket);

void outgoing_free(struct outgoing *outgoing);

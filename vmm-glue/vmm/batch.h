/* SPDX-License-Identifier: MIT */
/* Several opens in one packet, for fdset_open_many() and for those that are
 * submitted together: filling an OpenMany, and reading what comes of each. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "fdset.pb-c.h"
#include "packet.h"

/* The message, which is sent as it stands: message.n_opens are in it. */
struct batch {
    Fdset__V1__OpenMany message;
    size_t bytes; /* what it takes at most in a packet */
    Fdset__V1__Open opens[FDSET_MAX_OPENS];
    Fdset__V1__Open *pointers[FDSET_MAX_OPENS];
};

/* Also before the first use. */
void batch_clear(struct batch *batch);

/* Adds an open, which does not wait; borrows `path`, whose length path_check() allows, until the
 * batch is cleared. Returns false where it does not fit any more. One fits always. */
bool batch_add(struct batch *batch, const char *path, size_t length, int flags);

/* What has become of one open of a batch: 0 and what was `opened`, whose lease is never
 * 0, or -errno and a `text`, which belongs to the result. */
int batch_result(const Fdset__V1__OpenedMany__Result *result, Fdset__V1__Opened *opened,
                 const char **text);

/* SPDX-License-Identifier: MIT */
/* Puts the pages of a Query's answer together into one struct fdset_listing.
 * A set or a member that a page ended in goes on in the next. */
#pragma once

#include <fdset/manager.h>

#include "fdset.pb-c.h"

/* An empty listing, or NULL. Freed by fdset_listing_free(). */
struct fdset_listing *listing_new(void);

/* Copies a page to the end. Returns 0 or -ENOMEM; nothing said. */
int listing_append(struct fdset_listing *listing, const Fdset__V1__QueryReply *page);

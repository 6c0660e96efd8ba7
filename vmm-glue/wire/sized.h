/* SPDX-License-Identifier: MIT */
/* Structures that callers fill in, of this version of the library or another: libfdset(3). */
#pragma once

#include <stddef.h>

/* How far apart such structures stand in an array: what the first one says, or, where that is
 * 0, `first`, which is what the structure had in the first version. */
size_t sized_stride(const void *theirs, size_t first);

/* Gets a structure of `size` bytes into ours, which has `known`: what it does not have is
 * zero. -EINVAL, -E2BIG where it has something that is not known here. */
int sized_take(void *ours, size_t known, const void *theirs, size_t size);

/* The same for one alone. */
#define SIZED_TAKE(ours, theirs) \
    sized_take((ours), sizeof(*(ours)), (theirs), sized_stride((theirs), sizeof(*(ours))))

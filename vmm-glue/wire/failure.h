/* SPDX-License-Identifier: MIT */
/* What all calls of the library share.
 *
 * The sentence behind fdset_error_text(): one for each thread, the last
 * failure's. Everything that fails says why before it returns. */
#pragma once

#include <stddef.h>

/* Keeps the sentence and returns -error. "%m" in the format is `error` in
 * words. An `error` that is no errno value counts as EPROTO. */
int fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Room for the helper's longest sentence and one around it; what is longer is cut off. */
#define FAILURE_BYTES 768

/* For who does something else between a failure and the return: keeps the sentence, and
 * puts it back. */
void failure_keep(char kept[FAILURE_BYTES]);
void failure_restore(const char kept[FAILURE_BYTES]);

/* Structures that callers fill in, of this version of the library or another: libfdset(3). */

/* How far apart such structures stand in an array: what the first one says, or, where that is
 * 0, `first`, which is what the structure had in the first version. */
size_t sized_stride(const void *theirs, size_t first);

/* Gets a structure of `size` bytes into ours, which has `known`: what it does not have is
 * zero. -EINVAL, -E2BIG where it has something that is not known here. */
int sized_take(void *ours, size_t known, const void *theirs, size_t size);

/* The same for one alone. */
#define SIZED_TAKE(ours, theirs) \
    sized_take((ours), sizeof(*(ours)), (theirs), sized_stride((theirs), sizeof(*(ours))))

/* SPDX-License-Identifier: MIT */
/* Descriptors that are one open file description (dup(2)) share its status flags and its
 * locks. As members they would be leased to two VMMs, and an open of the one would change
 * what a lease of the other sees. The helper, in its sandbox, cannot tell them apart: so both
 * sides ask here before. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Whether two of `count` descriptors, FDSET_MAX_DESCRIPTORS at most, are duplicates; then
 * `first` and `second` are the places of two. Borrows them. Says no also where the kernel
 * does not tell (kcmp(2)), but for one number that stands twice. */
bool duplicates_find(const int *fds, size_t count, size_t *first, size_t *second);

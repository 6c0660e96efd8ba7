/* Numbers and flags, from and to the words that users read and write. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <fdset/manager.h>

/* A decimal number 0..limit without sign or blanks. False where `text` is none. */
bool number_parse(const char *text, uint32_t limit, uint32_t *number);

/* "N" or "/dev/fdset/N", as it is copied from QEMU's command line; N in 0..INT_MAX. */
bool set_parse(const char *text, int *set);

/* The access mode in open(2) flags: "read-only", ... */
const char *mode_word(int flags);

/* The other open(2) flags that mean something to a member or a lease, by index
 * from 0. NULL after the last; `*is_set` tells whether `flags` has it. */
const char *flag_word(size_t index, int flags, bool *is_set);

/* What <fdset/manager.h> has as numbers. */
const char *lifetime_word(enum fdset_lifetime lifetime);
const char *state_word(enum fdset_member_state state);
const char *sharing_word(enum fdset_sharing sharing);

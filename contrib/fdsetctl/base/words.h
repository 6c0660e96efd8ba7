/* SPDX-License-Identifier: MIT */
/* Numbers and flags, from and to the words that users read and write. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <fdset/manager.h>

/* "N" or "/dev/fdset/N", as it is copied from QEMU's command line; N in 0..INT_MAX. */
bool set_parse(const char *text, int *set);

/* The same, or "NAME" or "/dev/fdset/NAME": into by_set and set, or name, which
 * points into `text`. Numbers and names cannot be confused. */
bool set_or_name_parse(const char *text, struct fdset_filter *filter);

/* A whole number from 1 and its unit, "ms", "s" or "min", as milliseconds. */
bool time_parse(const char *text, uint32_t *milliseconds);

/* The same, or seconds from 1 without a unit. */
bool seconds_parse(const char *text, uint32_t *milliseconds);

/* Words with commas between, or one. There is room for all flags and rules that a member can
 * have. */
struct words {
    char text[192];
};
void words_append(struct words *words, const char *word);

/* A time for people: "5s", "3m20s", "7h05m", "12d03h". */
struct words duration_text(uint64_t milliseconds);

/* Milliseconds since 1970 as "2026-11-30T15:04:05.678+01:00", or "" for 0. */
struct words time_text(uint64_t milliseconds);

/* A process's number; "-" for 0, which is one that cannot be seen from here. */
struct words pid_text(pid_t pid);

/* "254:0", major and minor number, as lsblk(8) has them. */
struct words device_text(dev_t device);

/* What a file is, by the type bits of its mode. */
const char *type_word(mode_t type);

/* The access mode in open(2) flags: "read-only", ... */
const char *mode_word(int flags);

/* The other open(2) flags that mean something to a member or a lease, by index
 * from 0. NULL after the last; `*is_set` tells whether `flags` has it. */
const char *flag_word(size_t index, int flags, bool *is_set);

/* The words of a list, with commas between, in a loop: the first, and the next; NULL after the
 * last. A word ends before a comma or the list's end. */
#define FOR_WORDS(word, list) for (const char *word = list; word; word = word_next(word))
const char *word_next(const char *word);

/* Is `name` the word that begins there, in letters of any case? */
bool word_is(const char *name, const char *word);

/* The words of all flags. */
struct words flags_words(int flags);

/* The open file description's flags, then what the manager laid down. */
struct words member_words(const struct fdset_member_info *member);

/* What <fdset/manager.h> has as numbers. */
const char *code_word(int code); /* enum Code of fdset.proto */
bool lifetime_parse(const char *text, enum fdset_lifetime *lifetime);
const char *lifetime_word(enum fdset_lifetime lifetime);
const char *state_word(enum fdset_member_state state);
const char *sharing_word(enum fdset_sharing sharing);

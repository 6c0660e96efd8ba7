/* SPDX-License-Identifier: MIT */
/* QEMU's key=value,key=value syntax. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define MAX_PAIRS 64

struct pair {
    char *key, *value;
};

struct pairs {
    struct pair items[MAX_PAIRS];
    size_t count;
};

/* Reads "key=value,key=value"; a comma in a value is doubled, a value without a
 * key is `first`'s if it is the first (NULL: it is none's), else a flag. Dies
 * where there are too many. */
void pairs_parse(struct pairs *pairs, const char *text, const char *first);

/* The last value of `key`, or NULL. */
const char *pairs_get(const struct pairs *pairs, const char *key);

bool pairs_is_on(const struct pairs *pairs, const char *key);
void pairs_drop(struct pairs *pairs, const char *key);
void pairs_add(struct pairs *pairs, const char *key, const char *value);

/* Back to text; the key `first` is left out in front. */
char *pairs_text(const struct pairs *pairs, const char *first);

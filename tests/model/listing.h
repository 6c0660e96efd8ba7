/* SPDX-License-Identifier: MIT */
/* What Query lists, as lines of text: what the reference expects, and what came. */
#pragma once

#include "harness.h"
#include "reference.h"

struct text {
    char bytes[65536];
    size_t used;
};

void text_clear(struct text *text);
void text_add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints the first line in which they differ. */
void text_difference(const struct text *expected, const struct text *got);

/* What is asked. `after` lists what comes after this place, without the set and the
 * member in which that is. With `blind` the leases' ids are left out. */
struct question {
    Query query;
    bool blind;
};

/* 0, or the CODE() with which it is refused. */
int listing_refusal(struct reference *ref, const Query *query);
void listing_expected(struct reference *ref, const struct question *question, struct text *text);

/* Asks for all pages. Returns the totals. */
Totals listing_ask(struct client *client, const struct question *question, struct text *text);

/* SPDX-License-Identifier: MIT */
/* Bytes that are looked at, and bytes that grow. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* A part of somebody else's bytes; not ended by NUL. `bytes` NULL: there is none. */
struct span {
    const char *bytes;
    size_t length;
};

/* JSON's white space. */
static inline bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

#define SPAN(literal) ((struct span){literal, sizeof(literal) - 1})

/* Does it have these characters somewhere? */
bool span_contains(struct span span, const char *text);

/* Grows by appending. Where memory runs out, `failed` is set, what was to be
 * appended is left out, and nothing is appended any more: looked at once, at
 * the end. Zero-initialise. */
struct text {
    char *bytes;
    size_t length, capacity;
    bool failed;
};

/* All of it; good until the text changes. */
static inline struct span text_span(const struct text *text) {
    return (struct span){text->bytes, text->length};
}

void text_append(struct text *text, const char *bytes, size_t length);
void text_append_span(struct text *text, struct span span);
void text_append_string(struct text *text, const char *string);

/* Makes room for `length` more bytes and returns where; NULL where memory ran
 * out. Who writes there adds to text->length. */
char *text_room(struct text *text, size_t length);

void text_free(struct text *text);

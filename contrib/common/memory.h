/* SPDX-License-Identifier: MIT */
/* Memory and texts for programs that end where there is no more memory: none of these returns
 * NULL. What they return is the caller's to free. */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

/* Like calloc(3); a count of 0 is one of 1. */
void *xcalloc(size_t count, size_t size);

/* Makes room for `count` elements, and frees `memory`; like reallocarray(3). */
void *xreallocarray(void *memory, size_t count, size_t size);

char *xstrdup(const char *text);
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *xvasprintf(const char *format, va_list arguments) __attribute__((format(printf, 1, 0)));

/* A text that is written bit by bit to `stream`; it is there once it has ended. */
struct text_stream {
    FILE *stream;
    char *text;
    size_t size;
};

void text_stream_begin(struct text_stream *stream);
char *text_stream_end(struct text_stream *stream);

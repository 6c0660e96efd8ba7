/* SPDX-License-Identifier: MIT */
/* Bytes that grow. */
#include "text.h"

#include <stdlib.h>
#include <string.h>

bool span_contains(struct span span, const char *text) {
    return span.length > 0 && memmem(span.bytes, span.length, text, strlen(text));
}

char *text_room(struct text *text, size_t length) {
    size_t capacity = text->capacity ? text->capacity : 256;

    if (text->failed)
        return NULL;
    while (capacity - text->length < length)
        capacity *= 2;
    if (capacity != text->capacity) {
        char *bytes = realloc(text->bytes, capacity);
        if (!bytes) {
            text->failed = true;
            return NULL;
        }
        text->bytes = bytes;
        text->capacity = capacity;
    }
    return text->bytes + text->length;
}

void text_append(struct text *text, const char *bytes, size_t length) {
    if (length == 0 || !text_room(text, length))
        return;
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
}

void text_append_span(struct text *text, struct span span) {
    text_append(text, span.bytes, span.length);
}

void text_append_string(struct text *text, const char *string) {
    text_append(text, string, strlen(string));
}

void text_free(struct text *text) {
    free(text->bytes);
    *text = (struct text){0};
}

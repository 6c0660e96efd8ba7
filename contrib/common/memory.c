/* SPDX-License-Identifier: MIT */
/* Memory for programs that cannot go on without. */
#include "common/memory.h"

#include <stdlib.h>
#include <string.h>

#include "common/say.h"

static void *whole(void *memory) {
    if (!memory)
        die("out of memory");
    return memory;
}

void *xcalloc(size_t count, size_t size) {
    return whole(calloc(count ? count : 1, size));
}

void *xreallocarray(void *memory, size_t count, size_t size) {
    return whole(reallocarray(memory, count ? count : 1, size));
}

char *xstrdup(const char *text) {
    return whole(strdup(text));
}

char *xvasprintf(const char *format, va_list arguments) {
    char *text;

    return whole(vasprintf(&text, format, arguments) < 0 ? NULL : text);
}

char *xasprintf(const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    char *text = xvasprintf(format, arguments);
    va_end(arguments);
    return text;
}

void text_stream_begin(struct text_stream *stream) {
    stream->stream = whole(open_memstream(&stream->text, &stream->size));
}

char *text_stream_end(struct text_stream *stream) {
    if (fclose(stream->stream) != 0)
        whole(NULL);
    return stream->text;
}

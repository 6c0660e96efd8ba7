/* SPDX-License-Identifier: MIT */
/* Finds a prefix of paths in JSON and in plain text, however it is written there. */
#include "rewrite.h"

#include <string.h>

static int lower_hex(char c) {
    return c >= 'A' && c <= 'F' ? c | 0x20 : c;
}

/* "\u002f" for '/': how long it is, 0 where it is not that. */
static size_t match_escape(const char *at, const char *end, char wanted) {
    static const char digits[] = "0123456789abcdef";

    if (end - at < 6 || at[0] != '\\' || at[1] != 'u' || at[2] != '0' || at[3] != '0')
        return 0;
    bool equal =
        lower_hex(at[4]) == digits[wanted >> 4 & 15] && lower_hex(at[5]) == digits[wanted & 15];
    return equal ? 6 : 0;
}

static size_t match_character(const char *at, const char *end, char wanted) {
    const char *slash = at;

    if (at == end)
        return 0;
    if (*at == wanted)
        return 1;
    /* "\/", or several backslashes where JSON stands in a string of JSON. */
    while (wanted == '/' && slash < end && *slash == '\\')
        slash++;
    if (slash > at && slash < end && *slash == '/')
        return (size_t)(slash - at) + 1;
    return match_escape(at, end, wanted);
}

/* How long `from` is here, as it is written; 0 where it is not here. Backslashes
 * before its first slash do not belong to it: they may be part of the text. */
static size_t match(const char *at, const char *end, const char *from) {
    const char *start = at;

    if (*at == '\\' && match_escape(at, end, *from) == 0)
        return 0;
    for (; *from; from++) {
        size_t length = match_character(at, end, *from);
        if (length == 0)
            return 0;
        at += length;
    }
    return (size_t)(at - start);
}

/* The byte after what cannot be looked at apart. */
static const char *character_end(const char *at, const char *end) {
    bool pair = *at == '\\' && end - at > 1 && at[1] != '/';
    return at + (pair ? 2 : 1);
}

bool rewrite_strings(struct span json, const char *from, const char *to, struct text *out) {
    const char *at = json.bytes, *end = at + json.length, *copied = at;
    char quote = '\0';

    while (at < end) {
        size_t length = quote ? match(at, end, from) : 0;
        if (length > 0) {
            text_append(out, copied, (size_t)(at - copied));
            text_append_string(out, to);
            at += length;
            copied = at;
        } else if (quote) {
            quote = *at == quote ? '\0' : quote;
            at = character_end(at, end);
        } else {
            quote = *at == '"' || *at == '\'' ? *at : '\0';
            at++;
        }
    }
    if (copied == json.bytes)
        return false;
    text_append(out, copied, (size_t)(end - copied));
    return true;
}

/* ------------------------------------------------------------------ stream */

/* After `matched` bytes comes another one than wanted: lets go of the first of
 * them, and of as many more as cannot be the beginning of `from` either. */
static void let_go(struct rewrite_stream *stream, struct text *out) {
    size_t gone = 1;

    while (memcmp(stream->from, stream->from + gone, stream->matched - gone) != 0)
        gone++;
    text_append(out, stream->from, gone);
    stream->matched -= gone;
}

void rewrite_stream(struct rewrite_stream *stream, struct span part, struct text *out) {
    size_t whole = strlen(stream->from);

    for (size_t i = 0; i < part.length; i++) {
        char c = part.bytes[i];
        while (stream->matched > 0 && c != stream->from[stream->matched])
            let_go(stream, out);
        if (c != stream->from[stream->matched]) {
            text_append(out, &c, 1);
        } else if (++stream->matched == whole) {
            text_append_string(out, stream->to);
            stream->matched = 0;
        }
    }
}

void rewrite_stream_end(struct rewrite_stream *stream, struct text *out) {
    text_append(out, stream->from, stream->matched);
    stream->matched = 0;
}

/* SPDX-License-Identifier: MIT */
/* Puts one prefix of paths for another: QEMU itself looks for "/dev/fdset/" and
 * never asks libc for what begins so, but it lets "//dev/fdset/" through to
 * where the preloaded library answers. What is not a path of a set stays as it
 * is, byte for byte. */
#pragma once

#include "name.h"
#include "text.h"

/* What management writes, and what QEMU gets. */
#define SETS_NAMED  SET_PATH_PREFIX
#define SETS_PASSED "/" SET_PATH_PREFIX

/* `from` in every string of the JSON in `json` becomes `to`, as often as it
 * stands there and however its characters are escaped. `to` must be of
 * characters that need no escape, and both must begin with a slash. Returns
 * whether there was any; nothing is appended to `out` where there was none. */
bool rewrite_strings(struct span json, const char *from, const char *to, struct text *out);

/* The same in a stream of plain text, which comes in parts of any size. What may be
 * the beginning of `from` is held until it is known. Zero-initialise but for the two. */
struct rewrite_stream {
    const char *from, *to;
    size_t matched; /* bytes of `from` that are held */
};

void rewrite_stream(struct rewrite_stream *stream, struct span part, struct text *out);

/* Gives out what is held: no more will come. */
void rewrite_stream_end(struct rewrite_stream *stream, struct text *out);

/* SPDX-License-Identifier: MIT */
/* Messages as text, so that a table can hold requests of every shape, also of
 * those that no well-behaved encoder makes: fields left out, given twice, out of
 * their range.
 *
 *     open { path: '/dev/fdset/1' flags: 2 wait_ms: LEASE }
 *
 * A field is its name and a number, true or false, a string in single quotes, a
 * word that stands for a number, or a message in braces. 'x'*300 is the string
 * 300 times; name*300 is the field 300 times. Fields are encoded as they stand. */
#pragma once

#include "packet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a word stands for. Ended by a NULL. */
struct word {
    const char *name;
    uint64_t value;
};

/* Twice a packet's size: a test may want to send what is too large. */
#define TEXT_MAX_BYTES (2 * FDSET_MAX_PACKET_BYTES)

/* Encodes `text` as a message of `type` into `bytes`, which has room for
 * TEXT_MAX_BYTES. Returns the length. A mistake in the text fails the test. */
size_t text_encode(const char *text, const ProtobufCMessageDescriptor *type,
                   const struct word *words, uint8_t *bytes);

/* How often a field stood in the messages of its type in the text encoded last:
 * the fewest and the most times in one of them; both -1 where there was none. */
struct occurrence {
    int fewest, most;
};
struct occurrence text_occurrence(const ProtobufCFieldDescriptor *field);

/* The message in the same form, on one line; fields that are zero are left out.
 * Valid until the next call. */
const char *text_decode(const ProtobufCMessage *message);

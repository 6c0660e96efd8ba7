/* SPDX-License-Identifier: MIT */
/* The messages of every open and close, encoded and decoded by hand: Request
 * with Open, OpenMany or Close, Reply with Opened or OpenedMany. protobuf-c,
 * which walks descriptors of all fields, takes some 4 000 instructions for an
 * open and its close on either side, this some 400.
 *
 * What is written is to the byte what protobuf-c would write. What is read is
 * the plain form only, fields in order and each at most once, as every writer
 * has it; anything else, well-formed or not, is left to protobuf-c. So these
 * four do what packet_encode() and packet_decode() do, and nothing else.
 * tests/unit/shortcut.c holds the two against each other. read.c decodes, write.c encodes. */
#pragma once

#include "fdset.pb-c.h"
#include "packet.h"

/* As packet_decode(): the message lives in the arena; NULL where the bytes are no such message. */
Fdset__V1__Request *request_decode(const uint8_t *bytes, size_t length, struct packet_arena *arena);
Fdset__V1__Reply *reply_decode(const uint8_t *bytes, size_t length, struct packet_arena *arena);

/* As packet_encode(), somewhere in `bytes` of FDSET_MAX_PACKET_BYTES. Return where the message
 * begins, or NULL where it is larger than that. */
const uint8_t *request_encode(const Fdset__V1__Request *request, uint8_t *bytes, size_t *length);
const uint8_t *reply_encode(const Fdset__V1__Reply *reply, uint8_t *bytes, size_t *length);

/* The same in `room` bytes, a few more than it takes; NULL also where it is none of these
 * messages. */
const uint8_t *request_encode_short(const Fdset__V1__Request *request, uint8_t *bytes, size_t room,
                                    size_t *length);

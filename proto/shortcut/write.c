/* SPDX-License-Identifier: MIT */
/* Encoding by hand: shortcut.h. Written from the end to the front, so that a length is known
 * when it is its turn: each function takes where the last byte was put, and returns where it
 * has put its first. */
#include <string.h>

#include "shortcut/fields.h"
#include "shortcut/shortcut.h"

/* On the way of every open these are worth not being called. */
#define INLINE static inline __attribute__((always_inline))

/* The most that a number or length takes with its field, and a lease's; and what is around a
 * body, the body's own length included. */
#define NUMBER_BYTES 6
#define LEASE_BYTES  11
#define FRAME_BYTES  (3 * NUMBER_BYTES)

/* Of two bytes at least. */
static uint8_t *write_long_value(uint8_t *at, uint64_t value) {
    unsigned length = 2;

    while (length < 10 && value >> 7 * length)
        length++;
    uint8_t *to = at -= length;

    for (; value >= 0x80; value >>= 7)
        *to++ = (uint8_t)(value | 0x80);
    *to = (uint8_t)value;
    return at;
}

INLINE uint8_t *write_value(uint8_t *at, uint64_t value) {
    if (value >= 0x80)
        return write_long_value(at, value);
    *--at = (uint8_t)value;
    return at;
}

/* The field and its number or length. */
INLINE uint8_t *write_field(uint8_t *at, uint8_t field, uint64_t value) {
    at = write_value(at, value);
    *--at = field;
    return at;
}

INLINE uint8_t *write_number(uint8_t *at, uint8_t field, uint64_t value) {
    return value == 0 ? at : write_field(at, field, value);
}

/* Puts the field and its length in front of what was written since `end`. */
INLINE uint8_t *write_around(uint8_t *at, uint8_t field, const uint8_t *end) {
    return write_field(at, field, (uint32_t)(end - at));
}

/* Those that need not fit take where the room begins too, and return NULL if they do not, or
 * if they nearly do not. */

INLINE uint8_t *write_open(uint8_t *at, const uint8_t *start, const Fdset__V1__Open *open) {
    size_t length = open->path ? strlen(open->path) : 0;

    if ((ptrdiff_t)length + FRAME_BYTES > at - start)
        return NULL;
    at = write_number(at, OPEN_WAIT_MS, open->wait_ms);
    at = write_number(at, OPEN_FLAGS, open->flags);
    if (length == 0)
        return at;
    at = (uint8_t *)memcpy(at - length, open->path, length);
    return write_field(at, OPEN_PATH, (uint32_t)length);
}

static uint8_t *write_open_many(uint8_t *at, const uint8_t *start,
                                const Fdset__V1__OpenMany *many) {
    for (size_t i = many->n_opens; at && i-- > 0;) {
        const uint8_t *end = at;
        at = write_open(at, start + NUMBER_BYTES, many->opens[i]);
        if (at)
            at = write_around(at, MANY_ITEM, end);
    }
    return at;
}

static uint8_t *write_close(uint8_t *at, const uint8_t *start, const Fdset__V1__Close *closed) {
    const uint8_t *end = at;

    if ((ptrdiff_t)(closed->n_leases + 1) * LEASE_BYTES > at - start)
        return NULL;
    for (size_t i = closed->n_leases; i-- > 0;)
        at = write_value(at, closed->leases[i]);
    return closed->n_leases > 0 ? write_around(at, MANY_ITEM, end) : at;
}

INLINE uint8_t *write_opened(uint8_t *at, const Fdset__V1__Opened *opened) {
    at = write_number(at, OPENED_TRUNCATE, opened->truncate);
    at = write_number(at, OPENED_MEMBER, opened->member);
    return write_number(at, OPENED_LEASE, opened->lease);
}

/* Errors are protobuf-c's. */
static uint8_t *write_opened_many(uint8_t *at, const uint8_t *start,
                                  const Fdset__V1__OpenedMany *many) {
    for (size_t i = many->n_results; i-- > 0;) {
        const uint8_t *end = at;
        if (many->results[i]->outcome_case != FDSET__V1__OPENED_MANY__RESULT__OUTCOME_OPENED ||
            LEASE_BYTES + 4 * NUMBER_BYTES > at - start)
            return NULL;
        at = write_opened(at, many->results[i]->opened);
        at = write_around(write_around(at, RESULT_OPENED, end), MANY_ITEM, end);
    }
    return at;
}

/* What is before the body, which is in `field`, if there is one. */
INLINE uint8_t *write_frame(uint8_t *at, const uint8_t *end, uint8_t field, uint32_t descriptors,
                            uint32_t serial, size_t *length) {
    if (!at)
        return NULL;
    at = write_around(at, field, end);
    at = write_number(write_number(at, DESCRIPTORS, descriptors), SERIAL, serial);
    *length = (size_t)(end - at);
    return at;
}

const uint8_t *request_encode_short(const Fdset__V1__Request *request, uint8_t *bytes, size_t room,
                                    size_t *length) {
    uint8_t *end = bytes + room, *at = NULL, *start = bytes + FRAME_BYTES;
    uint8_t field = 0;

    if (room < FRAME_BYTES)
        return NULL;
    switch (request->body_case) {
    case FDSET__V1__REQUEST__BODY_OPEN:
        at = write_open(end, start, request->open);
        field = REQUEST_OPEN;
        break;
    case FDSET__V1__REQUEST__BODY_OPEN_MANY:
        at = write_open_many(end, start, request->open_many);
        field = REQUEST_OPEN_MANY;
        break;
    case FDSET__V1__REQUEST__BODY_CLOSE:
        at = write_close(end, start, request->close);
        field = REQUEST_CLOSE;
        break;
    default:
        break;
    }
    return write_frame(at, end, field, request->descriptors, request->serial, length);
}

static const uint8_t *write_reply(const Fdset__V1__Reply *reply, uint8_t *bytes, size_t *length) {
    uint8_t *end = bytes + FDSET_MAX_PACKET_BYTES, *at = NULL;
    uint8_t field = 0;

    if (reply->body_case == FDSET__V1__REPLY__BODY_OPENED) {
        at = write_opened(end, reply->opened);
        field = REPLY_OPENED;
    } else if (reply->body_case == FDSET__V1__REPLY__BODY_OPENED_MANY) {
        at = write_opened_many(end, bytes + FRAME_BYTES, reply->opened_many);
        field = REPLY_OPENED_MANY;
    }
    return write_frame(at, end, field, reply->descriptors, reply->serial, length);
}

static const uint8_t *encode(const ProtobufCMessage *message, uint8_t *bytes, size_t *length) {
    int result = packet_encode(message, bytes);

    *length = (size_t)result;
    return result < 0 ? NULL : bytes;
}

const uint8_t *request_encode(const Fdset__V1__Request *request, uint8_t *bytes, size_t *length) {
    const uint8_t *at = request_encode_short(request, bytes, FDSET_MAX_PACKET_BYTES, length);

    return at ? at : encode(&request->base, bytes, length);
}

const uint8_t *reply_encode(const Fdset__V1__Reply *reply, uint8_t *bytes, size_t *length) {
    const uint8_t *at = write_reply(reply, bytes, length);

    return at ? at : encode(&reply->base, bytes, length);
}

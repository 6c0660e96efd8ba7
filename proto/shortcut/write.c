/* SPDX-License-Identifier: MIT */
/* Encoding by hand: shortcut.h. */
#include <string.h>

#include "shortcut/fields.h"
#include "shortcut/shortcut.h"

/* Returns where the next byte goes. */
static uint8_t *put_value(uint8_t *at, uint32_t value) {
    for (; value >= 0x80; value >>= 7)
        *at++ = (uint8_t)(value | 0x80);
    *at++ = (uint8_t)value;
    return at;
}

/* --------------------------------------------------------------- writing backwards */

/* Written from the end to the front, so that a length is known when it is its
 * turn. `start` is NULL once there was no room. */
struct writer {
    uint8_t *start, *at;
};

/* Makes room for so many bytes and says where. NULL where there is none. */
static uint8_t *step_back(struct writer *writer, size_t length) {
    if (!writer->start || length > (size_t)(writer->at - writer->start))
        return writer->start = NULL;
    return writer->at -= length;
}

static void write_bytes(struct writer *writer, const void *bytes, size_t length) {
    uint8_t *at = step_back(writer, length);
    if (at)
        memcpy(at, bytes, length);
}

static void write_value(struct writer *writer, uint32_t value) {
    unsigned highest_bit = 31 - (unsigned)__builtin_clz(value | 1);
    uint8_t *at = step_back(writer, 1 + highest_bit / 7);
    if (at)
        put_value(at, value);
}

/* The field and its number or length. */
static void write_field(struct writer *writer, uint8_t field, uint32_t value) {
    if (value >= 0x80)
        write_value(writer, value);
    uint8_t *at = step_back(writer, value < 0x80 ? 2 : 1);
    if (!at)
        return;
    at[0] = field;
    if (value < 0x80)
        at[1] = (uint8_t)value;
}

static void write_number(struct writer *writer, uint8_t field, uint32_t value) {
    if (value != 0)
        write_field(writer, field, value);
}

/* Puts the field and its length in front of what was written since `end`. */
static void write_around(struct writer *writer, uint8_t field, const uint8_t *end) {
    write_field(writer, field, (uint32_t)(end - writer->at));
}

static void write_open(struct writer *writer, const Fdset__V1__Open *open) {
    size_t length = open->path ? strlen(open->path) : 0;
    write_number(writer, OPEN_WAIT_MS, open->wait_ms);
    write_number(writer, OPEN_FLAGS, open->flags);
    if (length == 0)
        return;
    const uint8_t *end = writer->at;
    write_bytes(writer, open->path, length);
    write_around(writer, OPEN_PATH, end);
}

static void write_open_many(struct writer *writer, const Fdset__V1__OpenMany *many) {
    for (size_t i = many->n_opens; i-- > 0;) {
        const uint8_t *end = writer->at;
        write_open(writer, many->opens[i]);
        write_around(writer, MANY_ITEM, end);
    }
}

static void write_close(struct writer *writer, const Fdset__V1__Close *closed) {
    const uint8_t *end = writer->at;
    for (size_t i = closed->n_leases; i-- > 0;)
        write_value(writer, closed->leases[i]);
    if (closed->n_leases > 0)
        write_around(writer, MANY_ITEM, end);
}

static void write_opened(struct writer *writer, const Fdset__V1__Opened *opened) {
    write_number(writer, OPENED_TRUNCATE, opened->truncate);
    write_number(writer, OPENED_MEMBER, opened->member);
    write_number(writer, OPENED_LEASE, opened->lease);
}

static void write_opened_many(struct writer *writer, const Fdset__V1__OpenedMany *many) {
    for (size_t i = many->n_results; i-- > 0;) {
        const uint8_t *end = writer->at;
        if (many->results[i]->outcome_case != FDSET__V1__OPENED_MANY__RESULT__OUTCOME_OPENED) {
            writer->start = NULL; /* errors are protobuf-c's */
            return;
        }
        write_opened(writer, many->results[i]->opened);
        write_around(writer, RESULT_OPENED, end);
        write_around(writer, MANY_ITEM, end);
    }
}

/* ------------------------------------------------------------- writing forwards */

/* What is so short that its lengths take a byte each, which can be filled in later. */
#define SHORT_BYTES 100

/* Nothing for 0, as protobuf has it. */
static uint8_t *append_number(uint8_t *at, uint8_t field, uint32_t value) {
    if (value == 0)
        return at;
    *at++ = field;
    return put_value(at, value);
}

/* Returns the length, or 0 where the path is not short, or the room. */
static size_t write_short_open(const Fdset__V1__Request *request, uint8_t *bytes, size_t room) {
    const Fdset__V1__Open *open = request->open;
    size_t length = open->path ? strlen(open->path) : 0;
    if (length > SHORT_BYTES || room < SHORT_BYTES + 64)
        return 0;
    uint8_t *body = append_number(bytes, SERIAL, request->serial);
    body = append_number(body, DESCRIPTORS, request->descriptors);
    uint8_t *inside = body + 2, *at = inside;
    if (length > 0) {
        *at++ = OPEN_PATH;
        *at++ = (uint8_t)length;
        at = (uint8_t *)memcpy(at, open->path, length) + length;
    }
    at = append_number(at, OPEN_FLAGS, open->flags);
    at = append_number(at, OPEN_WAIT_MS, open->wait_ms);
    body[0] = REQUEST_OPEN;
    body[1] = (uint8_t)(at - inside);
    return (size_t)(at - bytes);
}

size_t opened_reply_encode(uint32_t serial, const Fdset__V1__Opened *opened,
                           uint8_t bytes[OPENED_REPLY_BYTES]) {
    uint8_t *body = append_number(append_number(bytes, SERIAL, serial), DESCRIPTORS, 1);
    uint8_t *inside = body + 2, *at = append_number(inside, OPENED_LEASE, opened->lease);
    at = append_number(at, OPENED_MEMBER, opened->member);
    at = append_number(at, OPENED_TRUNCATE, opened->truncate);
    body[0] = REPLY_OPENED;
    body[1] = (uint8_t)(at - inside); /* 14 at most */
    return (size_t)(at - bytes);
}

/* ------------------------------------------------------------------- encoding */

/* Returns the length, or 0. */
static size_t finish(const struct writer *writer, uint8_t *bytes, size_t room) {
    if (!writer->start)
        return 0;
    size_t length = (size_t)(bytes + room - writer->at);
    memmove(bytes, writer->at, length);
    return length;
}

size_t request_encode_short(const Fdset__V1__Request *request, uint8_t *bytes, size_t room) {
    struct writer writer = {bytes, bytes + room};
    const uint8_t *end = writer.at;
    size_t length;
    switch (request->body_case) {
    case FDSET__V1__REQUEST__BODY_OPEN:
        length = write_short_open(request, bytes, room);
        if (length > 0)
            return length;
        write_open(&writer, request->open);
        write_around(&writer, REQUEST_OPEN, end);
        break;
    case FDSET__V1__REQUEST__BODY_OPEN_MANY:
        write_open_many(&writer, request->open_many);
        write_around(&writer, REQUEST_OPEN_MANY, end);
        break;
    case FDSET__V1__REQUEST__BODY_CLOSE:
        write_close(&writer, request->close);
        write_around(&writer, REQUEST_CLOSE, end);
        break;
    default:
        return 0;
    }
    write_number(&writer, DESCRIPTORS, request->descriptors);
    write_number(&writer, SERIAL, request->serial);
    return finish(&writer, bytes, room);
}

static size_t write_reply(const Fdset__V1__Reply *reply, uint8_t *bytes) {
    struct writer writer = {bytes, bytes + FDSET_MAX_PACKET_BYTES};
    const uint8_t *end = writer.at;
    if (reply->body_case != FDSET__V1__REPLY__BODY_OPENED_MANY)
        return 0;
    write_opened_many(&writer, reply->opened_many);
    write_around(&writer, REPLY_OPENED_MANY, end);
    write_number(&writer, DESCRIPTORS, reply->descriptors);
    write_number(&writer, SERIAL, reply->serial);
    return finish(&writer, bytes, FDSET_MAX_PACKET_BYTES);
}

int request_encode(const Fdset__V1__Request *request, uint8_t *bytes) {
    size_t length = request_encode_short(request, bytes, FDSET_MAX_PACKET_BYTES);
    return length ? (int)length : packet_encode(&request->base, bytes);
}

int reply_encode(const Fdset__V1__Reply *reply, uint8_t *bytes) {
    size_t length = write_reply(reply, bytes);
    return length ? (int)length : packet_encode(&reply->base, bytes);
}

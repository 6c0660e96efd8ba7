/* SPDX-License-Identifier: MIT */
/* Decoding by hand: shortcut.h. */
#include <string.h>

#include "shortcut/fields.h"
#include "shortcut/shortcut.h"

/* What is left to read. */
struct field_reader {
    const uint8_t *at, *end;
};

/* On the way of every open these are worth not being called. */
#define INLINE static inline __attribute__((always_inline))

/* At most five bytes, of which the last has the uppermost four bits. */
static bool read_long_value(struct field_reader *reader, uint32_t *value) {
    size_t left = (size_t)(reader->end - reader->at);
    const uint8_t *end = reader->at + (left < 5 ? left : 5);
    uint64_t result = 0, byte;

    for (unsigned shift = 0; reader->at < end; shift += 7) {
        byte = *reader->at++;
        result |= (byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value = (uint32_t)result;
            return result <= UINT32_MAX;
        }
    }
    return false;
}

/* The same of 64 bits: ten bytes, of which the last has one. */
static bool read_wide_value(struct field_reader *reader, uint64_t *value) {
    const uint8_t *at = reader->at, *end = reader->end;
    uint64_t result = 0;

    for (unsigned shift = 0; at < end; shift += 7) {
        uint64_t byte = *at++;
        if (shift == 63 && byte > 0x01)
            return false;
        result |= (byte & 0x7f) << shift;
        if (byte < 0x80) {
            reader->at = at;
            *value = result;
            return true;
        }
    }
    return false;
}

INLINE bool read_value(struct field_reader *reader, uint32_t *value) {
    if (reader->at == reader->end || *reader->at >= 0x80)
        return read_long_value(reader, value);
    *value = *reader->at++;
    return true;
}

/* Whether the next field is this one; it may be left out, being 0. */
INLINE bool next_is(const struct field_reader *reader, uint8_t field) {
    return reader->at < reader->end && *reader->at == field;
}

INLINE bool read_number(struct field_reader *reader, uint8_t field, uint32_t *value) {
    if (!next_is(reader, field))
        return true;
    reader->at++;
    return read_value(reader, value);
}

INLINE bool read_wide_number(struct field_reader *reader, uint8_t field, uint64_t *value) {
    if (!next_is(reader, field))
        return true;
    reader->at++;
    return read_wide_value(reader, value);
}

/* What is inside a field that must be there. */
INLINE bool read_inside(struct field_reader *reader, uint8_t field, struct field_reader *inside) {
    uint32_t length;
    if (!next_is(reader, field))
        return false;
    reader->at++;
    if (!read_value(reader, &length) || length > (size_t)(reader->end - reader->at))
        return false;
    *inside = (struct field_reader){reader->at, reader->at + length};
    reader->at += length;
    return true;
}

INLINE bool is_at_end(const struct field_reader *reader) {
    return reader->at == reader->end;
}

static bool read_open(struct field_reader reader, Fdset__V1__Open *open,
                      struct packet_arena *arena) {
    struct field_reader path;
    *open = (Fdset__V1__Open)FDSET__V1__OPEN__INIT;
    if (next_is(&reader, OPEN_PATH)) {
        if (!read_inside(&reader, OPEN_PATH, &path))
            return false;
        size_t length = (size_t)(path.end - path.at);
        open->path = packet_arena_take(arena, length + 1);
        if (!open->path)
            return false;
        memcpy(open->path, path.at, length);
        open->path[length] = '\0';
    }
    return read_number(&reader, OPEN_FLAGS, &open->flags) &&
           read_number(&reader, OPEN_WAIT_MS, &open->wait_ms) && is_at_end(&reader);
}

/* How many items there are, each of which must be a MANY_ITEM. 0 if not. */
static size_t count_items(struct field_reader reader) {
    struct field_reader item;
    size_t count = 0;
    while (!is_at_end(&reader)) {
        if (!read_inside(&reader, MANY_ITEM, &item))
            return 0;
        count++;
    }
    return count;
}

static bool read_open_many(struct field_reader reader, Fdset__V1__OpenMany *many,
                           struct packet_arena *arena) {
    struct field_reader item;
    fdset__v1__open_many__init(many);
    size_t count = count_items(reader);
    many->opens = packet_arena_take(arena, count * sizeof(*many->opens));
    Fdset__V1__Open *opens = packet_arena_take(arena, count * sizeof(*opens));
    if (count == 0 || !many->opens || !opens)
        return false;
    for (; many->n_opens < count; many->n_opens++) {
        many->opens[many->n_opens] = &opens[many->n_opens];
        if (!read_inside(&reader, MANY_ITEM, &item) ||
            !read_open(item, &opens[many->n_opens], arena))
            return false;
    }
    return true;
}

static bool read_close(struct field_reader reader, Fdset__V1__Close *closed,
                       struct packet_arena *arena) {
    struct field_reader leases;
    *closed = (Fdset__V1__Close)FDSET__V1__CLOSE__INIT;
    if (!read_inside(&reader, MANY_ITEM, &leases) || !is_at_end(&reader))
        return false;
    /* Each takes a byte at least. */
    closed->leases =
        packet_arena_take(arena, (size_t)(leases.end - leases.at) * sizeof(*closed->leases));
    while (closed->leases && !is_at_end(&leases))
        if (!read_wide_value(&leases, &closed->leases[closed->n_leases++]))
            return false;
    return closed->n_leases > 0;
}

static Fdset__V1__Request *read_request(const uint8_t *bytes, size_t length,
                                        struct packet_arena *arena) {
    struct field_reader reader = {bytes, bytes + length}, inside;
    struct {
        Fdset__V1__Request request;
        union {
            Fdset__V1__Open open;
            Fdset__V1__OpenMany open_many;
            Fdset__V1__Close close;
        };
    } *new = packet_arena_take(arena, sizeof(*new));
    new->request = (Fdset__V1__Request)FDSET__V1__REQUEST__INIT;
    if (!read_number(&reader, SERIAL, &new->request.serial) || is_at_end(&reader))
        return NULL;
    uint8_t body = *reader.at;
    if (!read_inside(&reader, body, &inside) || !is_at_end(&reader))
        return NULL;
    /* Each stands at the same place of the union of bodies. */
    new->request.open = &new->open;
    if (body == REQUEST_OPEN && read_open(inside, &new->open, arena))
        new->request.body_case = FDSET__V1__REQUEST__BODY_OPEN;
    else if (body == REQUEST_CLOSE && read_close(inside, &new->close, arena))
        new->request.body_case = FDSET__V1__REQUEST__BODY_CLOSE;
    else if (body == REQUEST_OPEN_MANY && read_open_many(inside, &new->open_many, arena))
        new->request.body_case = FDSET__V1__REQUEST__BODY_OPEN_MANY;
    else
        return NULL;
    return &new->request;
}

static bool read_opened(struct field_reader reader, Fdset__V1__Opened *opened) {
    uint32_t truncate = 0;
    *opened = (Fdset__V1__Opened)FDSET__V1__OPENED__INIT;
    bool read = read_wide_number(&reader, OPENED_LEASE, &opened->lease) &&
                read_number(&reader, OPENED_MEMBER, &opened->member) &&
                read_number(&reader, OPENED_TRUNCATE, &truncate) && is_at_end(&reader);
    opened->truncate = truncate != 0;
    return read;
}

/* Only where every open has succeeded. */
static bool read_opened_many(struct field_reader reader, Fdset__V1__OpenedMany *many,
                             struct packet_arena *arena) {
    struct field_reader item, inside;
    struct result {
        Fdset__V1__OpenedMany__Result result;
        Fdset__V1__Opened opened;
    } * results;
    fdset__v1__opened_many__init(many);
    size_t count = count_items(reader);
    many->results = packet_arena_take(arena, count * sizeof(*many->results));
    results = packet_arena_take(arena, count * sizeof(*results));
    if (count == 0 || !many->results || !results)
        return false;
    for (; many->n_results < count; many->n_results++) {
        struct result *new = &results[many->n_results];
        many->results[many->n_results] = &new->result;
        fdset__v1__opened_many__result__init(&new->result);
        new->result.outcome_case = FDSET__V1__OPENED_MANY__RESULT__OUTCOME_OPENED;
        new->result.opened = &new->opened;
        if (!read_inside(&reader, MANY_ITEM, &item) ||
            !read_inside(&item, RESULT_OPENED, &inside) || !is_at_end(&item) ||
            !read_opened(inside, &new->opened))
            return false;
    }
    return true;
}

static Fdset__V1__Reply *read_reply(const uint8_t *bytes, size_t length,
                                    struct packet_arena *arena) {
    struct field_reader reader = {bytes, bytes + length}, inside;
    struct {
        Fdset__V1__Reply reply;
        union {
            Fdset__V1__Opened opened;
            Fdset__V1__OpenedMany opened_many;
        };
    } *new = packet_arena_take(arena, sizeof(*new));
    new->reply = (Fdset__V1__Reply)FDSET__V1__REPLY__INIT;
    if (!read_number(&reader, SERIAL, &new->reply.serial) ||
        !read_number(&reader, DESCRIPTORS, &new->reply.descriptors) || is_at_end(&reader))
        return NULL;
    uint8_t body = *reader.at;
    if (!read_inside(&reader, body, &inside) || !is_at_end(&reader))
        return NULL;
    new->reply.opened = &new->opened;
    if (body == REPLY_OPENED && read_opened(inside, &new->opened))
        new->reply.body_case = FDSET__V1__REPLY__BODY_OPENED;
    else if (body == REPLY_OPENED_MANY && read_opened_many(inside, &new->opened_many, arena))
        new->reply.body_case = FDSET__V1__REPLY__BODY_OPENED_MANY;
    else
        return NULL;
    return &new->reply;
}

Fdset__V1__Request *request_decode(const uint8_t *bytes, size_t length,
                                   struct packet_arena *arena) {
    packet_arena_reset(arena);
    Fdset__V1__Request *request = read_request(bytes, length, arena);
    if (request)
        return request;
    return (Fdset__V1__Request *)packet_decode(&fdset__v1__request__descriptor, bytes, length,
                                               arena);
}

Fdset__V1__Reply *reply_decode(const uint8_t *bytes, size_t length, struct packet_arena *arena) {
    packet_arena_reset(arena);
    Fdset__V1__Reply *reply = read_reply(bytes, length, arena);
    if (reply)
        return reply;
    return (Fdset__V1__Reply *)packet_decode(&fdset__v1__reply__descriptor, bytes, length, arena);
}

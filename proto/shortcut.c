#include "shortcut.h"

#include <string.h>

/* A field's number and kind in one byte; the numbers are those of fdset.proto. */
#define NUMBER(field) ((field) << 3)
#define BYTES(field)  ((field) << 3 | 2)

enum {
    SERIAL = NUMBER(1),
    DESCRIPTORS = NUMBER(2),
    REQUEST_OPEN = BYTES(4),
    REQUEST_OPEN_MANY = BYTES(5),
    REQUEST_CLOSE = BYTES(6),
    REPLY_OPENED = BYTES(5),
    REPLY_OPENED_MANY = BYTES(6),
    OPEN_PATH = BYTES(1),
    OPEN_FLAGS = NUMBER(2),
    OPEN_WAIT_MS = NUMBER(3),
    OPENED_LEASE = NUMBER(1),
    OPENED_MEMBER = NUMBER(2),
    OPENED_TRUNCATE = NUMBER(3),
    MANY_ITEM = BYTES(1), /* OpenMany.opens, OpenedMany.results, Close.leases */
    RESULT_OPENED = BYTES(1),
};

/* ------------------------------------------------------------------- reading */

/* What is left to read. */
struct reader {
    const uint8_t *at, *end;
};

/* On the way of every open these are worth not being called. */
#define INLINE static inline __attribute__((always_inline))

/* At most five bytes, of which the last has the uppermost four bits. */
static bool read_long_value(struct reader *reader, uint32_t *value) {
    uint32_t result = 0;
    for (unsigned shift = 0; shift < 35 && reader->at < reader->end; shift += 7) {
        uint8_t byte = *reader->at++;
        if (shift == 28 && byte > 0x0f)
            return false;
        result |= (uint32_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value = result;
            return true;
        }
    }
    return false;
}

INLINE bool read_value(struct reader *reader, uint32_t *value) {
    if (reader->at == reader->end || *reader->at >= 0x80)
        return read_long_value(reader, value);
    *value = *reader->at++;
    return true;
}

/* Whether the next field is this one; it may be left out, being 0. */
INLINE bool next_is(const struct reader *reader, uint8_t field) {
    return reader->at < reader->end && *reader->at == field;
}

INLINE bool read_number(struct reader *reader, uint8_t field, uint32_t *value) {
    if (!next_is(reader, field))
        return true;
    reader->at++;
    return read_value(reader, value);
}

/* What is inside a field that must be there. */
INLINE bool read_inside(struct reader *reader, uint8_t field, struct reader *inside) {
    uint32_t length;
    if (!next_is(reader, field))
        return false;
    reader->at++;
    if (!read_value(reader, &length) || length > (size_t)(reader->end - reader->at))
        return false;
    *inside = (struct reader){reader->at, reader->at + length};
    reader->at += length;
    return true;
}

INLINE bool is_at_end(const struct reader *reader) {
    return reader->at == reader->end;
}

static bool read_open(struct reader reader, Fdset__V1__Open *open, struct packet_arena *arena) {
    struct reader path;
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
static size_t count_items(struct reader reader) {
    struct reader item;
    size_t count = 0;
    while (!is_at_end(&reader)) {
        if (!read_inside(&reader, MANY_ITEM, &item))
            return 0;
        count++;
    }
    return count;
}

static bool read_open_many(struct reader reader, Fdset__V1__OpenMany *many,
                           struct packet_arena *arena) {
    struct reader item;
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

static bool read_close(struct reader reader, Fdset__V1__Close *closed, struct packet_arena *arena) {
    struct reader leases;
    *closed = (Fdset__V1__Close)FDSET__V1__CLOSE__INIT;
    if (!read_inside(&reader, MANY_ITEM, &leases) || !is_at_end(&reader))
        return false;
    /* Each takes a byte at least. */
    closed->leases =
        packet_arena_take(arena, (size_t)(leases.end - leases.at) * sizeof(*closed->leases));
    while (closed->leases && !is_at_end(&leases))
        if (!read_value(&leases, &closed->leases[closed->n_leases++]))
            return false;
    return closed->n_leases > 0;
}

static Fdset__V1__Request *read_request(const uint8_t *bytes, size_t length,
                                        struct packet_arena *arena) {
    struct reader reader = {bytes, bytes + length}, inside;
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

static bool read_opened(struct reader reader, Fdset__V1__Opened *opened) {
    uint32_t truncate = 0;
    *opened = (Fdset__V1__Opened)FDSET__V1__OPENED__INIT;
    bool read = read_number(&reader, OPENED_LEASE, &opened->lease) &&
                read_number(&reader, OPENED_MEMBER, &opened->member) &&
                read_number(&reader, OPENED_TRUNCATE, &truncate) && is_at_end(&reader);
    opened->truncate = truncate != 0;
    return read;
}

/* Only where every open has succeeded. */
static bool read_opened_many(struct reader reader, Fdset__V1__OpenedMany *many,
                             struct packet_arena *arena) {
    struct reader item, inside;
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
    struct reader reader = {bytes, bytes + length}, inside;
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

/* ------------------------------------------------------------------- writing */

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
    if (!at)
        return;
    for (; value >= 0x80; value >>= 7)
        *at++ = (uint8_t)(value | 0x80);
    *at = (uint8_t)value;
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
    for (; value >= 0x80; value >>= 7)
        *at++ = (uint8_t)(value | 0x80);
    *at++ = (uint8_t)value;
    return at;
}

/* Returns the length, or 0 for a path that is not short. */
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
    struct writer writer = {bytes, bytes + PACKET_MAX_BYTES};
    const uint8_t *end = writer.at;
    switch (reply->body_case) {
    case FDSET__V1__REPLY__BODY_OPENED_MANY:
        write_opened_many(&writer, reply->opened_many);
        write_around(&writer, REPLY_OPENED_MANY, end);
        break;
    default:
        return 0;
    }
    write_number(&writer, DESCRIPTORS, reply->descriptors);
    write_number(&writer, SERIAL, reply->serial);
    return finish(&writer, bytes, PACKET_MAX_BYTES);
}

int request_encode(const Fdset__V1__Request *request, uint8_t *bytes) {
    size_t length = request_encode_short(request, bytes, PACKET_MAX_BYTES);
    return length ? (int)length : packet_encode(&request->base, bytes);
}

int reply_encode(const Fdset__V1__Reply *reply, uint8_t *bytes) {
    size_t length = write_reply(reply, bytes);
    return length ? (int)length : packet_encode(&reply->base, bytes);
}

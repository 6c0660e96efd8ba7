/* SPDX-License-Identifier: MIT */
/* proto/shortcut.*: whatever the bytes, it says what protobuf-c says. */
#include "shortcut/shortcut.h"
#include "oracle.h"

#include <stdlib.h>
#include <string.h>

#define MANY   250
#define ROUNDS 20000

static struct packet_arena short_arena, long_arena;
static uint8_t bytes[FDSET_MAX_PACKET_BYTES], again[FDSET_MAX_PACKET_BYTES];
static uint64_t seed;

/* The same numbers in every run: what fails fails again. */
static uint32_t any(uint32_t below) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % below;
}

/* Of every length that a number can take, 0 among them. */
static uint32_t any_number(void) {
    return (any(0x7fffffff) << 1 | any(2)) >> any(33) % 32;
}

static uint64_t any_lease(void) {
    return (uint64_t)any_number() << any(33) | any_number();
}

/* ------------------------------------------------------------- any message */

static union {
    Fdset__V1__Request request;
    Fdset__V1__Reply reply;
} message;

static struct {
    Fdset__V1__Open open[MANY], *open_pointers[MANY];
    Fdset__V1__OpenMany open_many;
    Fdset__V1__Close close;
    Fdset__V1__Hold hold;
    Fdset__V1__Opened opened[MANY];
    Fdset__V1__OpenedMany opened_many;
    Fdset__V1__OpenedMany__Result result[MANY], *result_pointers[MANY];
    Fdset__V1__Error error;
    uint64_t leases[MANY];
    char path[MANY][300];
} part;

static size_t any_count(void) {
    return any(4) ? any(5) : any(MANY);
}

static Fdset__V1__Open *any_open(size_t i) {
    size_t length = any(3) ? any(20) : any(290);
    fdset__v1__open__init(&part.open[i]);
    memset(part.path[i], 'a' + (int)any(26), length);
    part.path[i][length] = '\0';
    if (any(10))
        part.open[i].path = part.path[i];
    part.open[i].flags = any_number();
    part.open[i].wait_ms = any(2) ? any_number() : 0;
    return &part.open[i];
}

static Fdset__V1__Opened *any_opened(size_t i) {
    fdset__v1__opened__init(&part.opened[i]);
    part.opened[i].lease = any_lease();
    part.opened[i].member = any_number();
    part.opened[i].truncate = any(2);
    return &part.opened[i];
}

static void any_request(void) {
    Fdset__V1__Request *request = &message.request;
    fdset__v1__request__init(request);
    request->serial = any_number();
    request->descriptors = any(4) ? 0 : any_number();
    switch (any(5)) {
    case 0:
        request->body_case = FDSET__V1__REQUEST__BODY_OPEN;
        request->open = any_open(0);
        break;
    case 1:
        request->body_case = FDSET__V1__REQUEST__BODY_OPEN_MANY;
        request->open_many = &part.open_many;
        fdset__v1__open_many__init(&part.open_many);
        part.open_many.opens = part.open_pointers;
        part.open_many.n_opens = any_count();
        for (size_t i = 0; i < part.open_many.n_opens; i++)
            part.open_pointers[i] = any_open(i);
        break;
    case 2:
        request->body_case = FDSET__V1__REQUEST__BODY_CLOSE;
        request->close = &part.close;
        fdset__v1__close__init(&part.close);
        part.close.leases = part.leases;
        part.close.n_leases = any_count();
        for (size_t i = 0; i < part.close.n_leases; i++)
            part.leases[i] = any_lease();
        break;
    case 3: /* one that it does not know */
        request->body_case = FDSET__V1__REQUEST__BODY_HOLD;
        request->hold = &part.hold;
        fdset__v1__hold__init(&part.hold);
        part.hold.path = any_open(0)->path;
        break;
    }
}

static void any_reply(void) {
    Fdset__V1__Reply *reply = &message.reply;
    fdset__v1__reply__init(reply);
    reply->serial = any_number();
    reply->descriptors = any_number();
    fdset__v1__error__init(&part.error);
    part.error.error_number = (int)any_number();
    switch (any(4)) {
    case 0:
        reply->body_case = FDSET__V1__REPLY__BODY_OPENED;
        reply->opened = any_opened(0);
        break;
    case 1:
        reply->body_case = FDSET__V1__REPLY__BODY_OPENED_MANY;
        reply->opened_many = &part.opened_many;
        fdset__v1__opened_many__init(&part.opened_many);
        part.opened_many.results = part.result_pointers;
        part.opened_many.n_results = any_count();
        bool errors = any(2);
        for (size_t i = 0; i < part.opened_many.n_results; i++) {
            Fdset__V1__OpenedMany__Result *result = part.result_pointers[i] = &part.result[i];
            fdset__v1__opened_many__result__init(result);
            result->outcome_case = FDSET__V1__OPENED_MANY__RESULT__OUTCOME_OPENED;
            result->opened = any_opened(i);
            if (errors && !any(4)) {
                result->outcome_case = FDSET__V1__OPENED_MANY__RESULT__OUTCOME_ERROR;
                result->error = &part.error;
            }
        }
        break;
    case 2:
        reply->body_case = FDSET__V1__REPLY__BODY_ERROR;
        reply->error = &part.error;
        break;
    }
}

/* --------------------------------------------------------------- comparing */

/* From a copy that ends where the packet does: valgrind and the sanitizers then see
 * a byte too many being read. */
static ProtobufCMessage *decode_short(bool is_reply, size_t length) {
    uint8_t *copy = malloc(length);
    memcpy(copy, bytes, length);
    ProtobufCMessage *result = is_reply
                                   ? (ProtobufCMessage *)reply_decode(copy, length, &short_arena)
                                   : (ProtobufCMessage *)request_decode(copy, length, &short_arena);
    free(copy);
    return result;
}

static void assert_decoded_alike(bool is_reply, size_t length) {
    ProtobufCMessage *brief = decode_short(is_reply, length);
    ProtobufCMessage *full =
        packet_decode(is_reply ? &fdset__v1__reply__descriptor : &fdset__v1__request__descriptor,
                      bytes, length, &long_arena);
    if (!brief || !full) {
        assert_ptr_equal(brief, full);
        return;
    }
    static uint8_t brief_bytes[2 * FDSET_MAX_PACKET_BYTES], full_bytes[2 * FDSET_MAX_PACKET_BYTES];
    size_t packed = protobuf_c_message_pack(full, full_bytes);
    assert_int_equal(protobuf_c_message_pack(brief, brief_bytes), packed);
    assert_memory_equal(brief_bytes, full_bytes, packed);
}

static size_t encode_both(bool is_reply) {
    int length = packet_encode((ProtobufCMessage *)&message, bytes);
    size_t by_hand;
    const uint8_t *at = is_reply ? reply_encode(&message.reply, again, &by_hand)
                                 : request_encode(&message.request, again, &by_hand);
    assert_int_equal(!at, length < 0);
    if (length < 0)
        return 0;
    assert_int_equal(by_hand, length);
    assert_true(at >= again && at + length <= again + sizeof(again));
    assert_memory_equal(at, bytes, length);
    return (size_t)length;
}

static void test_any_message(void **state) {
    for (seed = 0; seed < ROUNDS; seed++) {
        uint64_t round = seed;
        bool is_reply = any(2);
        is_reply ? any_reply() : any_request();
        size_t length = encode_both(is_reply);
        assert_decoded_alike(is_reply, length);
        seed = round;
    }
}

/* Bytes changed, put in, taken out, repeated. */
static size_t spoil(size_t length) {
    for (uint32_t times = 1 + any(3); times > 0 && length > 0; times--) {
        size_t at = any((uint32_t)length);
        switch (any(4)) {
        case 0:
            bytes[at] = (uint8_t)any(256);
            break;
        case 1:
            bytes[at] ^= (uint8_t)(1u << any(8));
            break;
        case 2:
            memmove(bytes + at, bytes + at + 1, length - at - 1);
            length--;
            break;
        case 3:
            if (length == sizeof(bytes))
                break;
            memmove(bytes + at + 1, bytes + at, length - at);
            length++;
            break;
        }
    }
    return length;
}

static void test_any_bytes(void **state) {
    for (seed = 0; seed < 3 * ROUNDS; seed++) {
        uint64_t round = seed;
        bool is_reply = any(2);
        is_reply ? any_reply() : any_request();
        assert_decoded_alike(is_reply, spoil(encode_both(is_reply)));
        seed = round;
    }
}

/* ------------------------------------------------------------------ bounds */

static void test_the_buffer_is_too_short(void **state) {
    Fdset__V1__Request *request = &message.request;
    fdset__v1__request__init(request);
    request->serial = 1000;
    request->body_case = FDSET__V1__REQUEST__BODY_OPEN;
    request->open = any_open(0);
    strcpy(part.path[0], "/dev/fdset/1");
    request->open->path = part.path[0];
    size_t length = (size_t)packet_encode(&request->base, bytes), written;
    for (size_t room = 0; room < length; room++)
        assert_null(request_encode_short(request, again, room, &written));
    for (size_t room = length; room < 4 * length; room++) {
        memset(again, 0xee, sizeof(again));
        const uint8_t *at = request_encode_short(request, again + 1, room, &written);
        assert_true(at || room < 3 * length);
        assert_true(again[0] == 0xee && again[1 + room] == 0xee);
        if (at) {
            assert_int_equal(written, length);
            assert_memory_equal(at, bytes, length);
        }
    }
}

static void test_many_do_not_fit(void **state) {
    for (seed = 0; seed < ROUNDS; seed++) {
        uint64_t round = seed;
        size_t room = any(1000), length;
        any_request();
        memset(again, 0xee, sizeof(again));
        const uint8_t *at = request_encode_short(&message.request, again + 1000, room, &length);
        for (size_t i = 0; i < 1000; i++)
            assert_true(again[i] == 0xee && again[1000 + room + i] == 0xee);
        assert_true(!at || (at >= again + 1000 && at + length == again + 1000 + room));
        seed = round;
    }
}

/* What protobuf-c would need more memory for than there is. */
static void test_items_without_end(void **state) {
    memcpy(bytes, (uint8_t[]){0x08, 1, 0x2a, 0xfa, 0x7f}, 5);
    for (size_t i = 5; i + 2 <= sizeof(bytes); i += 2) {
        bytes[i] = 0x0a; /* an item of nothing */
        bytes[i + 1] = 0;
    }
    assert_null(request_decode(bytes, sizeof(bytes) - 1, &short_arena));
    bytes[2] = 0x32;
    assert_null(reply_decode(bytes, sizeof(bytes) - 1, &short_arena));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        oracle_test(test_any_message),
        oracle_test(test_any_bytes),
        oracle_test(test_the_buffer_is_too_short),
        oracle_test(test_many_do_not_fit),
        oracle_test(test_items_without_end),
    };
    packet_arena_init(&short_arena);
    packet_arena_init(&long_arena);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

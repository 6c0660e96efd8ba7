/* SPDX-License-Identifier: MIT */
/* What the relay reads of its two sides: all bytes come out of the framing again,
 * in order and each once, however they came in; and what is read of a message lies
 * inside it. */
#include "fuzz.h"

#include <string.h>

#include "envelope.h"
#include "framing.h"

#define LIMIT 500

/* Pieces, each with its kind before and its length behind it. */
static void frame(struct span input, size_t part, bool lines, struct text *bytes,
                  struct text *kinds) {
    struct framing framing;
    struct span span;
    enum piece piece;

    framing_init(&framing, LIMIT, lines);
    for (size_t at = 0, length; at < input.length; at += length) {
        length = input.length - at < part ? input.length - at : part;
        memcpy(framing_room(&framing, length), input.bytes + at, length);
        framing_add(&framing, length);
        while ((piece = framing_next(&framing, &span)) != PIECE_NONE) {
            CHECK(span.length > 0);
            /* Blank and skipped bytes come as they come. */
            if (piece != PIECE_BLANK && piece != PIECE_SKIPPED) {
                char kind = (char)piece;
                text_append(kinds, &kind, 1);
            }
            text_append_span(bytes, span);
            framing_between(&framing);
        }
    }
    CHECK(framing.text.length - framing.begin + bytes->length == input.length);
    text_append(bytes, framing.text.bytes + framing.begin, input.length - bytes->length);
    CHECK(memcmp(bytes->bytes, input.bytes, input.length) == 0);
    framing_free(&framing);
}

static void check_framing(struct span input, size_t part, bool lines) {
    struct text whole = {0}, whole_kinds = {0}, parts = {0}, parts_kinds = {0};

    frame(input, input.length, lines, &whole, &whole_kinds);
    frame(input, part, lines, &parts, &parts_kinds);
    CHECK(whole_kinds.length == parts_kinds.length);
    CHECK(whole_kinds.length == 0 ||
          memcmp(whole_kinds.bytes, parts_kinds.bytes, parts_kinds.length) == 0);
    text_free(&whole);
    text_free(&whole_kinds);
    text_free(&parts);
    text_free(&parts_kinds);
}

/* ---------------------------------------------------------------- messages */

static void check_inside(struct span inner, struct span outer) {
    CHECK(!inner.bytes || (inner.bytes > outer.bytes && inner.length < outer.length &&
                           inner.bytes + inner.length <= outer.bytes + outer.length));
}

static void check_message(struct span message) {
    struct envelope envelope;
    struct text text = {0}, again = {0};

    if (envelope_read(message, &envelope)) {
        const struct span members[] = {envelope.execute, envelope.exec_oob, envelope.arguments,
                                       envelope.id,      envelope.returned, envelope.error};
        for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
            check_inside(members[i], message);
        if (envelope.execute.bytes)
            string_is(envelope.execute, "add-fd");
        json_normalise(message, &text);
        json_normalise((struct span){text.bytes, text.length}, &again);
        CHECK(text.length == again.length && memcmp(text.bytes, again.bytes, text.length) == 0);
    }
    text_free(&again);
    text_free(&text);
}

static void check_messages(struct span input) {
    struct framing framing;
    struct span span;
    enum piece piece;

    framing_init(&framing, LIMIT, false);
    memcpy(framing_room(&framing, input.length), input.bytes, input.length);
    framing_add(&framing, input.length);
    while ((piece = framing_next(&framing, &span)) != PIECE_NONE)
        if (piece == PIECE_MESSAGE)
            check_message(span);
    framing_free(&framing);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    uint8_t how = input_byte(&input);
    size_t part = 1 + input_byte(&input);
    struct span rest = {(const char *)input.data, input.left};

    if (rest.length == 0)
        return 0;
    check_framing(rest, part, how & 1);
    check_messages(rest);
    return 0;
}

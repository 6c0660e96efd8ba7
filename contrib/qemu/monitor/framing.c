/* SPDX-License-Identifier: MIT */
/* Where one message ends and the next begins, by the rules of QEMU's lexer. */
#include "framing.h"

#include <assert.h>
#include <string.h>

/* What is being read. The rules are those of QEMU's lexer. */
enum lexer_state {
    START,    /* between two tokens */
    STRING,   /* up to framing->quote */
    ESCAPE,   /* in a string, after a backslash */
    WORD,     /* true, false, null, or what is taken for such */
    SIGN,     /* a number's, which a digit must follow */
    ZERO,     /* no digit may follow */
    DIGITS,   /* of the whole part */
    POINT,    /* a digit must follow */
    FRACTION, /* after the point */
    E,        /* a sign or digit must follow */
    E_SIGN,   /* a digit must follow */
    EXPONENT, /* its digits */
    RECOVERY, /* after a stray byte: up to one that makes sense */
};

enum step {
    STEP_ON,     /* taken */
    STEP_TOKEN,  /* taken, and ends a token */
    STEP_BEFORE, /* not taken: the token ended before it */
    STEP_STRAY,  /* taken, and cannot be there */
};

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_structure(char c) {
    return c != '\0' && strchr("{}[],:", c);
}

/* Control bytes and those that UTF-8 does not have. */
static bool is_impossible(char c) {
    return (unsigned char)c < 0x20 || (unsigned char)c > 0xfd;
}

static enum step step_start(struct framing *framing, char c) {
    framing->token = c;
    if (is_blank(c))
        return STEP_ON;
    if (is_structure(c))
        return STEP_TOKEN;
    if (c == '"' || c == '\'') {
        framing->quote = c;
        framing->state = STRING;
    } else if (c == '-') {
        framing->state = SIGN;
    } else if (is_digit(c)) {
        framing->state = c == '0' ? ZERO : DIGITS;
    } else if (c >= 'a' && c <= 'z') {
        framing->state = WORD;
    } else {
        return STEP_STRAY;
    }
    return STEP_ON;
}

static enum step step_string(struct framing *framing, char c) {
    if (is_impossible(c))
        return STEP_STRAY;
    if (framing->state == ESCAPE) {
        framing->state = STRING;
    } else if (c == '\\') {
        framing->state = ESCAPE;
    } else if (c == framing->quote) {
        framing->state = START;
        return STEP_TOKEN;
    }
    return STEP_ON;
}

static enum step step_to(struct framing *framing, enum lexer_state state) {
    framing->state = state;
    return STEP_ON;
}

static enum step step_number(struct framing *framing, char c) {
    enum lexer_state state = framing->state;
    bool digit = is_digit(c);

    if (digit && state == SIGN)
        return step_to(framing, c == '0' ? ZERO : DIGITS);
    if (digit && state == POINT)
        return step_to(framing, FRACTION);
    if (digit && (state == E || state == E_SIGN))
        return step_to(framing, EXPONENT);
    if (digit)
        return state == ZERO ? STEP_STRAY : STEP_ON;
    if (state == E && (c == '+' || c == '-'))
        return step_to(framing, E_SIGN);
    if (state == SIGN || state == POINT || state == E || state == E_SIGN)
        return STEP_STRAY;
    if (c == '.' && (state == ZERO || state == DIGITS))
        return step_to(framing, POINT);
    if ((c == 'e' || c == 'E') && (state == DIGITS || state == FRACTION)) /* not ZERO */
        return step_to(framing, E);
    framing->state = START;
    return STEP_BEFORE;
}

static enum step step(struct framing *framing, char c) {
    switch (framing->state) {
    case START:
        return step_start(framing, c);
    case STRING:
    case ESCAPE:
        return step_string(framing, c);
    case WORD:
        if (c >= 'a' && c <= 'z')
            return STEP_ON;
        framing->state = START;
        return STEP_BEFORE;
    default:
        return step_number(framing, c);
    }
}

/* ------------------------------------------------------------------ pieces */

static enum piece give(struct framing *framing, struct span *span, enum piece piece) {
    span->bytes = framing->text.bytes + framing->begin;
    span->length = framing->scanned - framing->begin;
    framing->begin = framing->scanned;
    return piece;
}

static void message_reset(struct framing *framing) {
    framing->braces = framing->brackets = 0;
    framing->has_token = framing->complete = framing->skipping = false;
}

/* Gives out what is a whole message; PIECE_NONE where all of it has been skipped before. */
static enum piece message_give(struct framing *framing, struct span *span) {
    bool skipping = framing->skipping;

    message_reset(framing);
    if (framing->scanned == framing->begin)
        return PIECE_NONE;
    give(framing, span, PIECE_MESSAGE);
    const char *first = span->bytes;
    while (!skipping && is_blank(*first))
        first++;
    return skipping ? PIECE_SKIPPED : *first == '{' ? PIECE_MESSAGE : PIECE_VALUE;
}

/* After a message's last bracket: the rest of its line. */
static enum piece line_end(struct framing *framing, struct span *span) {
    const struct text *text = &framing->text;

    while (framing->scanned < text->length) {
        char c = text->bytes[framing->scanned];
        if (!is_blank(c))
            return message_give(framing, span);
        framing->scanned++;
        if (c == '\n')
            return message_give(framing, span);
    }
    bool wait = framing->lines && framing->scanned - framing->begin <= framing->limit;
    return wait ? PIECE_NONE : message_give(framing, span);
}

static enum piece blanks(struct framing *framing, struct span *span) {
    const struct text *text = &framing->text;

    while (framing->scanned < text->length && is_blank(text->bytes[framing->scanned]))
        framing->scanned++;
    return give(framing, span, PIECE_BLANK);
}

/* Lets everything pass up to where QEMU would begin anew. */
static enum piece recover(struct framing *framing, struct span *span) {
    const struct text *text = &framing->text;

    for (; framing->scanned < text->length; framing->scanned++) {
        char c = text->bytes[framing->scanned];
        if (is_structure(c) || (is_impossible(c) && c != '\t')) {
            framing->state = START;
            break;
        }
    }
    return framing->scanned > framing->begin ? give(framing, span, PIECE_SKIPPED) : PIECE_NONE;
}

static bool count(struct framing *framing) {
    framing->has_token = true;
    framing->braces += (framing->token == '{') - (framing->token == '}');
    framing->brackets += (framing->token == '[') - (framing->token == ']');
    return framing->braces < 0 || framing->brackets < 0 ||
           (framing->braces == 0 && framing->brackets == 0);
}

static enum piece take_stray(struct framing *framing, struct span *span) {
    message_reset(framing);
    framing->state = RECOVERY;
    return give(framing, span, PIECE_STRAY);
}

static enum piece refuse(struct framing *framing, struct span *span, enum piece piece) {
    framing->skipping = true;
    return give(framing, span, piece);
}

/* Looks at one byte; PIECE_NONE: go on. */
static enum piece advance(struct framing *framing, struct span *span) {
    enum step taken = step(framing, framing->text.bytes[framing->scanned]);

    framing->scanned += taken != STEP_BEFORE;
    if (taken == STEP_STRAY)
        return take_stray(framing, span);
    if (taken != STEP_ON && count(framing)) {
        framing->complete = true;
        return line_end(framing, span);
    }
    if (framing->skipping)
        return PIECE_NONE;
    if (framing->braces + framing->brackets > FRAMING_DEPTH)
        return refuse(framing, span, PIECE_TOO_DEEP);
    if (framing->scanned - framing->begin > framing->limit)
        return refuse(framing, span, PIECE_TOO_LARGE);
    return PIECE_NONE;
}

enum piece framing_next(struct framing *framing, struct span *span) {
    const struct text *text = &framing->text;
    enum piece piece = PIECE_NONE;

    if (framing->complete && ((piece = line_end(framing, span)) != PIECE_NONE || framing->complete))
        return piece;
    if (framing->state == RECOVERY && (piece = recover(framing, span)) != PIECE_NONE)
        return piece;
    if (framing_between(framing) && framing->scanned < text->length &&
        is_blank(text->bytes[framing->scanned]))
        return blanks(framing, span);
    while (piece == PIECE_NONE && !framing->complete && framing->scanned < text->length &&
           framing->state != RECOVERY)
        piece = advance(framing, span);
    if (piece == PIECE_NONE && framing->skipping && framing->scanned > framing->begin)
        return give(framing, span, PIECE_SKIPPED);
    return piece;
}

bool framing_between(const struct framing *framing) {
    return framing->state == START && !framing->has_token && framing->begin == framing->scanned;
}

/* ------------------------------------------------------------------ buffer */

void framing_init(struct framing *framing, size_t limit, bool lines) {
    *framing = (struct framing){.limit = limit, .lines = lines};
}

void framing_free(struct framing *framing) {
    text_free(&framing->text);
}

char *framing_room(struct framing *framing, size_t length) {
    struct text *text = &framing->text;

    if (framing->begin == text->length && text->capacity > (1 << 20))
        text_free(text); /* after a large message */
    else if (framing->begin > 0)
        memmove(text->bytes, text->bytes + framing->begin, text->length - framing->begin);
    if (text->length > 0)
        text->length -= framing->begin;
    framing->scanned -= framing->begin;
    framing->begin = 0;
    return text_room(text, length);
}

void framing_add(struct framing *framing, size_t length) {
    assert(length <= framing->text.capacity - framing->text.length);
    framing->text.length += length;
}

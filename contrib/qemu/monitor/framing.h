/* SPDX-License-Identifier: MIT */
/* Cuts a stream of bytes into QMP messages. It reads JSON only as far as that
 * takes: strings, brackets and the shape of numbers and words, by the same
 * rules as QEMU's own reader (docs/interop/qmp-spec), among them its
 * single-quoted strings and how it finds its way again after nonsense. So a
 * PIECE_MESSAGE, however wrong it is inside, is one message to QEMU as well,
 * and gets exactly one reply.
 *
 *     struct framing framing;
 *     framing_init(&framing, FRAMING_LIMIT, false);
 *     char *room = framing_room(&framing, 4096);
 *     framing_add(&framing, read(socket, room, 4096));
 *     while ((piece = framing_next(&framing, &span)) != PIECE_NONE)
 *         ...
 *
 * Never holds more than one message of `limit` bytes and what was added after
 * it. No input is an error: all bytes come out again in pieces, in order, each
 * once.
 *
 * framing.c, envelope.c and text.c use nothing but each other and the C
 * library, and can be fuzzed so. */
#pragma once

#include "text.h"

/* QEMU's own limits for one message. */
#define FRAMING_LIMIT ((size_t)64 << 20)
#define FRAMING_DEPTH 1024

enum piece {
    PIECE_NONE,      /* more bytes are needed */
    PIECE_BLANK,     /* white space between messages */
    PIECE_MESSAGE,   /* {...}, with the white space before its line's end, and that */
    PIECE_VALUE,     /* complete, but no object: 42, [], foo, or a lone , : ] } */
    PIECE_STRAY,     /* up to a byte that cannot be there; the message is lost */
    PIECE_TOO_LARGE, /* the beginning of a message beyond the limit */
    PIECE_TOO_DEEP,  /* the beginning of a message with too many brackets */
    PIECE_SKIPPED,   /* the rest of what one of the three before has begun */
};

struct framing {
    struct text text;
    size_t limit;
    bool lines;

    /* Offsets into text: what lies before `begin` is done with, what lies
     * before `scanned` has been looked at. */
    size_t begin, scanned;

    int state;
    char token; /* first byte of the word, number or string that is being read */
    char quote;
    int braces, brackets;
    bool has_token; /* the message has begun */
    bool complete;  /* the message has ended, its line may not have */
    bool skipping;
};

/* With `lines`, a message is given out only with the end of its line, as QEMU
 * always writes it; otherwise as soon as it is complete. */
void framing_init(struct framing *framing, size_t limit, bool lines);
void framing_free(struct framing *framing);

/* Room for `length` bytes, to be followed by framing_add(). Pieces given out
 * before are gone. NULL where memory ran out. */
char *framing_room(struct framing *framing, size_t length);
void framing_add(struct framing *framing, size_t length);

/* The next piece. Its bytes stay until framing_room(). */
enum piece framing_next(struct framing *framing, struct span *span);

/* Is the end of the last piece a place where another message may be put in? */
bool framing_between(const struct framing *framing);

/* SPDX-License-Identifier: MIT */
/* Messages to text and back: see protobuf-text.h. */
#include "protobuf-text.h"

#include "oracle.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --------------------------------------------------------------- encoding */

#define MAX_FIELDS 128

/* Of the text that is being encoded. */
static const char *whole, *here;
static const struct word *known_words;
static struct {
    const ProtobufCFieldDescriptor *field;
    struct occurrence occurrence;
} occurrences[MAX_FIELDS];
static size_t occurrence_count;

struct wire {
    uint8_t *bytes; /* room for TEXT_MAX_BYTES */
    size_t length;
};

static void complain(const char *what) {
    fail_msg("%s at \"%s\" in \"%s\"", what, here, whole);
}

static void skip_blanks(void) {
    while (isspace((unsigned char)*here))
        here++;
}

static bool take(char character) {
    skip_blanks();
    if (*here != character)
        return false;
    here++;
    return true;
}

static void take_word(char *word, size_t size) {
    size_t length = 0;
    skip_blanks();
    while ((isalnum((unsigned char)*here) || *here == '_') && length < size - 1)
        word[length++] = *here++;
    word[length] = '\0';
    if (length == 0)
        complain("a word is missing");
}

static uint64_t take_number(void) {
    char word[64], *end;
    bool negative = take('-');
    take_word(word, sizeof(word));
    for (const struct word *known = known_words; known && known->name; known++)
        if (strcmp(word, known->name) == 0)
            return known->value;
    if (strcmp(word, "true") == 0 || strcmp(word, "false") == 0)
        return word[0] == 't';
    uint64_t value = strtoull(word, &end, 0);
    if (*end)
        complain("no number");
    return negative ? -value : value;
}

/* How often what stands before is meant. */
static size_t take_times(void) {
    return take('*') ? (size_t)take_number() : 1;
}

static void put(struct wire *wire, const void *bytes, size_t length) {
    if (wire->length + length > TEXT_MAX_BYTES)
        complain("too large");
    memcpy(wire->bytes + wire->length, bytes, length);
    wire->length += length;
}

static void put_number(struct wire *wire, uint64_t value) {
    do {
        uint8_t byte = (uint8_t)(value & 0x7f) | (value > 0x7f ? 0x80 : 0);
        put(wire, &byte, 1);
        value >>= 7;
    } while (value > 0);
}

static void put_tag(struct wire *wire, const ProtobufCFieldDescriptor *field, unsigned type) {
    put_number(wire, (uint64_t)field->id << 3 | type);
}

static void put_bytes(struct wire *wire, const ProtobufCFieldDescriptor *field, const void *bytes,
                      size_t length) {
    put_tag(wire, field, 2);
    put_number(wire, length);
    put(wire, bytes, length);
}

static void encode_string(struct wire *wire, const ProtobufCFieldDescriptor *field) {
    static char string[TEXT_MAX_BYTES];
    const char *begin = here;
    size_t length = strcspn(here, "'"), used = 0;
    here += length;
    if (!take('\''))
        complain("a string without an end");
    for (size_t times = take_times(); times > 0 && used + length <= sizeof(string); times--) {
        memcpy(string + used, begin, length);
        used += length;
    }
    put_bytes(wire, field, string, used);
}

static void encode_value(struct wire *wire, const ProtobufCFieldDescriptor *field) {
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        if (!take('\''))
            complain("a string is missing");
        encode_string(wire, field);
    } else {
        put_tag(wire, field, 0);
        put_number(wire, take_number());
    }
}

static void note(const ProtobufCFieldDescriptor *field, int times) {
    size_t i = 0;
    while (i < occurrence_count && occurrences[i].field != field)
        i++;
    assert_true(i < MAX_FIELDS);
    struct occurrence *known = &occurrences[i].occurrence;
    if (i == occurrence_count) {
        occurrences[occurrence_count++].field = field;
        *known = (struct occurrence){times, times};
    }
    known->fewest = times < known->fewest ? times : known->fewest;
    known->most = times > known->most ? times : known->most;
}

static void encode_message(struct wire *wire, const ProtobufCMessageDescriptor *type);

static void encode_nested(struct wire *wire, const ProtobufCFieldDescriptor *field) {
    struct wire nested = {malloc(TEXT_MAX_BYTES), 0};
    assert_non_null(nested.bytes);
    if (!take('{'))
        complain("a message is missing");
    encode_message(&nested, field->descriptor);
    if (!take('}'))
        complain("a message without an end");
    put_bytes(wire, field, nested.bytes, nested.length);
    free(nested.bytes);
}

/* Returns how often it was put in. */
static int encode_field(struct wire *wire, const ProtobufCFieldDescriptor *field) {
    size_t times = take_times();
    bool nested = field->type == PROTOBUF_C_TYPE_MESSAGE;
    if (!nested && !take(':'))
        complain("':' is missing");
    const char *value = here;
    for (size_t i = 0; i < times; i++) {
        here = value;
        if (nested)
            encode_nested(wire, field);
        else
            encode_value(wire, field);
    }
    return (int)times;
}

static void encode_message(struct wire *wire, const ProtobufCMessageDescriptor *type) {
    int times[32] = {0};
    char name[64];

    assert_true(type->n_fields <= 32);
    for (skip_blanks(); *here && *here != '}'; skip_blanks()) {
        take_word(name, sizeof(name));
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field_by_name(type, name);
        if (!field)
            complain("no such field before");
        times[field - type->fields] += encode_field(wire, field);
    }
    for (unsigned i = 0; i < type->n_fields; i++)
        note(&type->fields[i], times[i]);
}

size_t text_encode(const char *text, const ProtobufCMessageDescriptor *type,
                   const struct word *words, uint8_t *bytes) {
    struct wire wire = {bytes, 0};
    whole = here = text;
    known_words = words;
    occurrence_count = 0;
    encode_message(&wire, type);
    if (*here)
        complain("what is this");
    return wire.length;
}

struct occurrence text_occurrence(const ProtobufCFieldDescriptor *field) {
    for (size_t i = 0; i < occurrence_count; i++)
        if (occurrences[i].field == field)
            return occurrences[i].occurrence;
    return (struct occurrence){-1, -1};
}

/* --------------------------------------------------------------- decoding */

static char out[8 * FDSET_MAX_PACKET_BYTES];
static size_t out_used;

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(out + out_used, sizeof(out) - out_used, format, arguments);
    va_end(arguments);
    assert_true(length >= 0 && out_used + (size_t)length < sizeof(out));
    out_used += (size_t)length;
}

static void decode_message(const ProtobufCMessage *message);

static uint64_t number_at(const void *value, ProtobufCType type) {
    switch (type) {
    case PROTOBUF_C_TYPE_UINT64:
        return *(const uint64_t *)value;
    case PROTOBUF_C_TYPE_BOOL:
        return *(const protobuf_c_boolean *)value != 0;
    case PROTOBUF_C_TYPE_INT32:
        return (uint64_t)(int64_t) * (const int32_t *)value;
    default:
        return *(const uint32_t *)value;
    }
}

static bool is_zero(const void *value, ProtobufCType type) {
    if (type == PROTOBUF_C_TYPE_STRING)
        return !*(char *const *)value || !**(char *const *)value;
    if (type == PROTOBUF_C_TYPE_MESSAGE)
        return !*(ProtobufCMessage *const *)value;
    return number_at(value, type) == 0;
}

static void decode_value(const ProtobufCFieldDescriptor *field, const void *value) {
    uint64_t number;
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        say("%s: '%s' ", field->name, *(char *const *)value);
        return;
    case PROTOBUF_C_TYPE_MESSAGE:
        say("%s { ", field->name);
        decode_message(*(ProtobufCMessage *const *)value);
        say("} ");
        return;
    case PROTOBUF_C_TYPE_ENUM:
        number = number_at(value, field->type);
        const ProtobufCEnumValue *named =
            protobuf_c_enum_descriptor_get_value(field->descriptor, (int)number);
        say("%s: %s ", field->name, named ? named->name : "?");
        return;
    default:
        say("%s: %lld ", field->name, (long long)number_at(value, field->type));
    }
}

static size_t element_size(ProtobufCType type) {
    if (type == PROTOBUF_C_TYPE_STRING || type == PROTOBUF_C_TYPE_MESSAGE)
        return sizeof(void *);
    return type == PROTOBUF_C_TYPE_UINT64 ? sizeof(uint64_t) : sizeof(uint32_t);
}

static void decode_field(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field) {
    const char *base = (const char *)message, *value = base + field->offset;
    const char *quantifier = base + field->quantifier_offset;

    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        const char *array = *(char *const *)value;
        for (size_t i = 0; i < *(const size_t *)quantifier; i++)
            decode_value(field, array + i * element_size(field->type));
    } else if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
        if (*(const uint32_t *)quantifier == field->id)
            decode_value(field, value);
    } else if (!is_zero(value, field->type)) {
        decode_value(field, value);
    }
}

static void decode_message(const ProtobufCMessage *message) {
    for (unsigned i = 0; i < message->descriptor->n_fields; i++)
        decode_field(message, &message->descriptor->fields[i]);
}

const char *text_decode(const ProtobufCMessage *message) {
    out_used = 0;
    out[0] = '\0';
    decode_message(message);
    return out;
}

/* SPDX-License-Identifier: MIT */
/* Finds the members of a QMP message's outermost object, and reads strings of JSON. */
#include "envelope.h"

#include <string.h>

static void skip_blanks(struct span *rest) {
    while (rest->length > 0 && is_blank(*rest->bytes))
        rest->bytes++, rest->length--;
}

/* Takes `c`, with the white space before it. */
static bool take(struct span *rest, char c) {
    skip_blanks(rest);
    if (rest->length == 0 || *rest->bytes != c)
        return false;
    rest->bytes++, rest->length--;
    return true;
}

/* How long the string is that begins here, quotes included; 0 where it does not end. */
static size_t string_length(struct span rest) {
    for (size_t i = 1; i < rest.length; i++)
        if (rest.bytes[i] == '\\')
            i++;
        else if (rest.bytes[i] == *rest.bytes)
            return i + 1;
    return 0;
}

static bool is_quote(char c) {
    return c == '"' || c == '\'';
}

/* How long the value is that begins here; 0 where there is none. */
static size_t value_length(struct span rest) {
    size_t depth = 0, i = 0;

    while (i < rest.length) {
        char c = rest.bytes[i];
        if (is_quote(c)) {
            size_t length = string_length((struct span){rest.bytes + i, rest.length - i});
            if (length == 0)
                return 0;
            i += length;
            if (depth == 0)
                return i;
            continue;
        }
        if (depth == 0 && (c == ',' || c == ':' || c == '}' || c == ']' || is_blank(c)))
            return i;
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        i++;
        if (depth == 0 && (c == '}' || c == ']'))
            return i;
    }
    return 0;
}

static bool take_value(struct span *rest, struct span *value) {
    skip_blanks(rest);
    *value = (struct span){rest->bytes, value_length(*rest)};
    rest->bytes += value->length, rest->length -= value->length;
    return value->length > 0;
}

static bool take_name(struct span *rest, struct span *name) {
    skip_blanks(rest);
    return rest->length > 0 && is_quote(*rest->bytes) && take_value(rest, name);
}

static struct span *envelope_member(struct envelope *envelope, struct span name) {
    static const struct {
        const char *name;
        size_t offset;
    } members[] = {
        {"execute", offsetof(struct envelope, execute)},
        {"exec-oob", offsetof(struct envelope, exec_oob)},
        {"arguments", offsetof(struct envelope, arguments)},
        {"id", offsetof(struct envelope, id)},
        {"return", offsetof(struct envelope, returned)},
        {"error", offsetof(struct envelope, error)},
    };

    for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++)
        if (string_is(name, members[i].name))
            return (struct span *)((char *)envelope + members[i].offset);
    return NULL;
}

static bool take_member(struct span *rest, struct envelope *envelope) {
    struct span name, value;

    if (!take_name(rest, &name) || !take(rest, ':') || !take_value(rest, &value))
        return false;
    struct span *member = envelope_member(envelope, name);
    if (!member)
        return true;
    if (member->bytes)
        return false;
    *member = value;
    return true;
}

bool envelope_read(struct span message, struct envelope *envelope) {
    *envelope = (struct envelope){0};
    if (!take(&message, '{'))
        return false;
    if (take(&message, '}'))
        return true;
    do {
        if (!take_member(&message, envelope))
            return false;
    } while (take(&message, ','));
    return take(&message, '}');
}

/* ----------------------------------------------------------------- strings */

static int hex_value(const char *digits) {
    int value = 0;

    for (int i = 0; i < 4; i++) {
        char c = digits[i] | 0x20;
        if (c >= '0' && c <= '9')
            value = value * 16 + c - '0';
        else if (c >= 'a' && c <= 'f')
            value = value * 16 + c - 'a' + 10;
        else
            return -1;
    }
    return value;
}

/* The character at the head of `rest`, which loses it; -1 where it is none of ASCII. */
static int take_character(struct span *rest) {
    size_t length = 1;
    int c = (unsigned char)*rest->bytes;

    if (c == '\\' && rest->length >= 6 && rest->bytes[1] == 'u') {
        c = hex_value(rest->bytes + 2);
        length = 6;
    } else if (c == '\\' && rest->length >= 2) {
        const char *names = "bfnrt", *values = "\b\f\n\r\t";
        const char *name = strchr(names, rest->bytes[1]);
        c = name && *name ? values[name - names] : (unsigned char)rest->bytes[1];
        length = 2;
    }
    rest->bytes += length, rest->length -= length;
    return c < 0x80 ? c : -1;
}

bool string_is(struct span raw, const char *text) {
    if (raw.length < 2 || !is_quote(*raw.bytes))
        return false;
    struct span rest = {raw.bytes + 1, raw.length - 2};
    for (; *text; text++)
        if (rest.length == 0 || take_character(&rest) != *text)
            return false;
    return rest.length == 0;
}

static size_t normalise_string(const char *from, size_t length, struct text *to) {
    text_append(to, "\"", 1);
    for (size_t i = 1; i + 1 < length; i++) {
        if (from[i] == '\\' && from[i + 1] == '\'')
            i++; /* an escape that only QEMU has */
        else if (from[i] == '\\')
            text_append(to, &from[i++], 1);
        else if (from[i] == '"')
            text_append(to, "\\", 1);
        text_append(to, &from[i], 1);
    }
    text_append(to, "\"", 1);
    return length;
}

void json_normalise(struct span json, struct text *to) {
    for (size_t i = 0; i < json.length;) {
        struct span rest = {json.bytes + i, json.length - i};
        size_t length = is_quote(*rest.bytes) ? string_length(rest) : 0;
        if (length > 0) {
            i += normalise_string(rest.bytes, length, to);
            continue;
        }
        text_append(to, is_blank(*rest.bytes) ? " " : rest.bytes, 1);
        i++;
    }
}

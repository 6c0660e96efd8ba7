/* SPDX-License-Identifier: MIT */
/* Names of sets and text for people, as UTF-8. */
#include "name.h"

#include <stdint.h>
#include <string.h>

/* What `text` begins with, and how long it is; 0 where that is no character. */
static size_t character_read(const char *text, uint32_t *character) {
    const uint8_t *bytes = (const uint8_t *)text;
    uint32_t value, least;
    size_t length;

    if (bytes[0] < 0x80)
        length = bytes[0] ? 1 : 0, value = bytes[0], least = 0;
    else if (bytes[0] >> 5 == 6)
        length = 2, value = bytes[0] & 0x1f, least = 0x80;
    else if (bytes[0] >> 4 == 14)
        length = 3, value = bytes[0] & 0x0f, least = 0x800;
    else if (bytes[0] >> 3 == 30)
        length = 4, value = bytes[0] & 0x07, least = 0x10000;
    else
        return 0;
    for (size_t i = 1; i < length; i++) {
        if (bytes[i] >> 6 != 2)
            return 0; /* the end of the text, too */
        value = value << 6 | (bytes[i] & 0x3f);
    }
    *character = value;
    bool surrogate = value >= 0xd800 && value < 0xe000;
    return value < least || surrogate || value > 0x10ffff ? 0 : length;
}

size_t character_length(const char *text) {
    uint32_t character;
    return character_read(text, &character);
}

static bool is_shown(uint32_t character) {
    static const struct {
        uint32_t first, last;
    } hidden[] = {
        {0x00, 0x1f},     {0x7f, 0x9f},     /* controls */
        {0x061c, 0x061c}, {0x200e, 0x200f}, /* direction: marks, */
        {0x202a, 0x202e}, {0x2066, 0x2069}, /* embeddings, isolates */
        {0x2028, 0x2029},                   /* ends of a line and a paragraph */
    };

    for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
        if (character >= hidden[i].first && character <= hidden[i].last)
            return false;
    return true;
}

/* Of a character that can be shown; else 0. */
static size_t shown_length(const char *text) {
    uint32_t character;
    size_t length = character_read(text, &character);
    return length > 0 && is_shown(character) ? length : 0;
}

bool set_name_is_valid(const char *name) {
    size_t length = strnlen(name, FDSET_MAX_SET_NAME_BYTES + 1), shown = 1;

    if (length == 0 || length > FDSET_MAX_SET_NAME_BYTES || strchr(name, '/'))
        return false;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    if (strspn(name, "0123456789") == length)
        return false;
    for (const char *here = name; *here && shown > 0; here += shown)
        shown = shown_length(here);
    return shown > 0;
}

void show_text(char *to, size_t size, const char *from) {
    size_t used = 0, uncut = 0; /* as far as "..." would still fit */

    while (*from) {
        size_t length = shown_length(from);
        if (used + (length ? length : 1) >= size) {
            strcpy(to + uncut, "...");
            return;
        }
        if (length > 0)
            memmove(to + used, from, length);
        else
            to[used] = '?';
        used += length ? length : 1;
        from += length ? length : 1;
        if (used + 4 <= size)
            uncut = used;
    }
    to[used] = '\0';
}

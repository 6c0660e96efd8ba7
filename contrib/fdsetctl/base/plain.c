/* SPDX-License-Identifier: MIT */
/* Decides character by character what a terminal may have, and writes the rest as \xNN. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

#include "base/plain.h"

/* Printable by the C library's word, but invisible, or changing the order of what
 * stands beside it. */
static bool misleads(wint_t character) {
    static const struct {
        wint_t first, last;
    } ranges[] = {
        {0xad, 0xad},     {0x61c, 0x61c},   {0x115f, 0x1160}, {0x17b4, 0x17b5}, {0x180b, 0x180f},
        {0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f}, {0x3164, 0x3164}, {0xfe00, 0xfe0f},
        {0xfeff, 0xfeff}, {0xffa0, 0xffa0}, {0xfff9, 0xfffb}, {0xe000, 0xf8ff}, {0xe0000, 0xe0fff},
    };

    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
        if (character >= ranges[i].first && character <= ranges[i].last)
            return true;
    return false;
}

/* How many bytes the character has with which `text` begins, which is not empty;
 * `*plain`: whether it may be printed. What is no character is a byte. */
static size_t character_look(const char *text, bool *plain) {
    mbstate_t state = {0};
    wchar_t character;
    size_t length = mbrtowc(&character, text, strlen(text), &state);

    if (length == 0 || length > strlen(text)) {
        *plain = false;
        return 1;
    }
    *plain = iswprint(character) && !misleads(character);
    return length;
}

bool plain_is(const char *text) {
    bool plain = true;

    while (*text && plain)
        text += character_look(text, &plain);
    return plain;
}

char *plain_text(const char *text) {
    char *copy = malloc(4 * strlen(text) + 1), *end = copy;
    bool plain;

    if (!copy)
        abort(); /* no words without memory: die() comes here itself */
    while (*text) {
        size_t length = character_look(text, &plain);
        if (text[0] == '\\' && text[1] == 'x')
            plain = false;
        if (plain)
            end = mempcpy(end, text, length);
        else
            for (size_t i = 0; i < length; i++)
                end += sprintf(end, "\\x%02x", (unsigned char)text[i]);
        text += length;
    }
    *end = '\0';
    return copy;
}

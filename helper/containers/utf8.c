/* SPDX-License-Identifier: MIT */
/* Looks at text byte by byte, and character by character. */
#include "containers/utf8.h"

#include "name.h"

static bool is_plain_byte(char byte) {
    return byte >= 0x20 && byte < 0x7f;
}

bool is_plain(const char *text) {
    while (is_plain_byte(*text))
        text++;
    return *text == '\0';
}

void make_plain(char *text) {
    for (; *text; text++)
        if (!is_plain_byte(*text))
            *text = '?';
}

bool is_utf8(const char *text) {
    for (size_t length; *text; text += length) {
        length = character_length(text);
        if (length == 0)
            return false;
    }
    return true;
}

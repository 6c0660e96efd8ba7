#include "text.h"

#include <stdint.h>

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

/* Length of the character that begins here, 0 where none does. */
static int character_length(const uint8_t *text) {
    uint32_t character, least;
    int length;

    if (text[0] < 0x80)
        return 1;
    if (text[0] >> 5 == 6)
        length = 2, character = text[0] & 0x1f, least = 0x80;
    else if (text[0] >> 4 == 14)
        length = 3, character = text[0] & 0x0f, least = 0x800;
    else if (text[0] >> 3 == 30)
        length = 4, character = text[0] & 0x07, least = 0x10000;
    else
        return 0;
    for (int i = 1; i < length; i++) {
        if (text[i] >> 6 != 2)
            return 0; /* the end of the text, too */
        character = character << 6 | (text[i] & 0x3f);
    }
    bool surrogate = character >= 0xd800 && character < 0xe000;
    return character < least || surrogate || character > 0x10ffff ? 0 : length;
}

bool is_utf8(const char *text) {
    const uint8_t *here = (const uint8_t *)text;

    while (*here) {
        int length = character_length(here);
        if (length == 0)
            return false;
        here += length;
    }
    return true;
}

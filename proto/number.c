/* SPDX-License-Identifier: MIT */
/* The one reader of numbers, for the helper, the library and the programs. */
#include "number.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

bool number_parse_base(const char *text, int base, uint64_t most, uint64_t *number) {
    char *end;

    /* strtoull(3) would take blanks and a sign, and make a huge number of "-1". */
    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    unsigned long long value = strtoull(text, &end, base);
    if (errno || end == text || *end || value > most)
        return false;
    *number = value;
    return true;
}

bool number_parse(const char *text, uint64_t most, uint64_t *number) {
    return number_parse_base(text, 10, most, number);
}

bool number32_parse(const char *text, uint32_t most, uint32_t *number) {
    uint64_t value;

    if (!number_parse(text, most, &value))
        return false;
    *number = (uint32_t)value;
    return true;
}

bool int_parse(const char *text, int *number) {
    uint64_t value;

    if (!number_parse(text, INT_MAX, &value))
        return false;
    *number = (int)value;
    return true;
}

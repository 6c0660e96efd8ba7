/* SPDX-License-Identifier: MIT */
/* Numbers that somebody has written. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Reads a whole number from 0 to `most` in decimal digits: no sign, no blanks, nothing behind
 * it. Returns false where `text` is no such number; `*number` is then as it was. */
bool number_parse(const char *text, uint64_t most, uint64_t *number);

/* The same in digits of `base`; 0: decimal, octal after "0" or hexadecimal after "0x". */
bool number_parse_base(const char *text, int base, uint64_t most, uint64_t *number);

/* The same for what is stored in 32 bits. */
bool number32_parse(const char *text, uint32_t most, uint32_t *number);

/* A number from 0 to INT_MAX, as descriptors and sets have. */
bool int_parse(const char *text, int *number);

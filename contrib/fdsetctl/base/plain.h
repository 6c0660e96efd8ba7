/* SPDX-License-Identifier: MIT */
/* Text from elsewhere, a label or a helper's sentence, as a terminal may have it:
 * without what moves the cursor, changes a setting or the order of what is read. */
#pragma once

#include <stdbool.h>

/* A copy in which each byte of such a character is "\xNN"; and, lest that be taken
 * for it, the backslash of an "\x" is "\x5c". The caller's to free. */
char *plain_text(const char *text);

/* There is no such character in it. */
bool plain_is(const char *text);

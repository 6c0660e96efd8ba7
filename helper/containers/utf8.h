/* SPDX-License-Identifier: MIT */
/* Text that a peer sent: what of it may be shown. */
#pragma once

#include <stdbool.h>

/* Printable ASCII: upsets neither a terminal nor a decoder that checks for UTF-8. */
bool is_plain(const char *text);

/* Puts '?' for what is not. */
void make_plain(char *text);

/* Valid UTF-8, as a protobuf string must be: strict decoders refuse a whole
 * message for one that is not. */
bool is_utf8(const char *text);

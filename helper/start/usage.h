/* SPDX-License-Identifier: MIT */
/* How the command line is said, and how a wrong one ends the helper. */
#pragma once

#include <stdint.h>

/* What --help says. */
extern const char usage_help[];

/* Says why, and where to read more, and exits with status 2. */
void usage_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* A number from 0 to `most`, or the end. `option` has no dashes, here and elsewhere. */
uint64_t usage_number(const char *option, const char *text, uint64_t most);

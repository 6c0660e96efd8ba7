/* SPDX-License-Identifier: MIT */
/* Sentences on standard error. */
#include "say.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void shim_complain(const char *format, ...) {
    va_list arguments;
    char text[512];

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    dprintf(STDERR_FILENO, "libfdset-preload: %s\n", text);
}

bool shim_is_verbose(void) {
    return getenv("FDSET_PRELOAD_VERBOSE");
}

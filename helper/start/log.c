/* SPDX-License-Identifier: MIT */
#include "start/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static bool to_journal;

void log_init(void) {
    to_journal = getenv("JOURNAL_STREAM") != NULL;
}

void log_line(enum log_level level, const char *format, ...) {
    char line[1024];
    va_list arguments;
    size_t used = (size_t)(to_journal ? snprintf(line, sizeof(line), "<%d>", level)
                                      : snprintf(line, sizeof(line), "fdset-helper: "));

    va_start(arguments, format);
    int length = vsnprintf(line + used, sizeof(line) - used - 1, format, arguments);
    va_end(arguments);
    used += (size_t)length;
    if (used > sizeof(line) - 2)
        used = sizeof(line) - 2;
    line[used++] = '\n';
    /* Nothing can be done where nobody reads. */
    if (write(STDERR_FILENO, line, used) < 0)
        return;
}

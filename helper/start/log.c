/* SPDX-License-Identifier: MIT */
/* What the helper says on standard error. */
#include "start/log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static bool to_journal;

/* A descriptor that came to stand in for a closed standard stream would get the
 * log lines. */
static void open_standard_streams(void) {
    int fd;

    do {
        fd = open("/dev/null", O_RDWR | O_CLOEXEC); /* none that was inherited */
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
}

void log_init(void) {
    open_standard_streams();
    to_journal = getenv("JOURNAL_STREAM") != NULL;
}

static void write_line(enum log_level level, const char *format, va_list arguments) {
    char line[1024];
    size_t used = (size_t)(to_journal ? snprintf(line, sizeof(line), "<%d>", level)
                                      : snprintf(line, sizeof(line), "fdset-helper: "));

    used += (size_t)vsnprintf(line + used, sizeof(line) - used - 1, format, arguments);
    if (used > sizeof(line) - 2)
        used = sizeof(line) - 2;
    line[used++] = '\n';
    /* Nothing can be done where nobody reads. */
    if (write(STDERR_FILENO, line, used) < 0)
        return;
}

void log_line(enum log_level level, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    write_line(level, format, arguments);
    va_end(arguments);
}

void log_die(const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    write_line(LOG_ERROR, format, arguments);
    va_end(arguments);
    _exit(1);
}

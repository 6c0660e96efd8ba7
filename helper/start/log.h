/* SPDX-License-Identifier: MIT */
/* One line on standard error, in one write(2): no stdio, which would make
 * system calls of its own once the sandbox is closed. */
#pragma once

/* Journald's levels, put before the line where it listens. */
enum log_level { LOG_ERROR = 3, LOG_WARNING = 4, LOG_INFO = 6 };

/* The first call of all: makes sure that there are standard streams, and looks at the
 * environment. */
void log_init(void);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Says why, and ends: exit status 1. */
void log_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

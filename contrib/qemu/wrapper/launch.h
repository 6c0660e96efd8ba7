/* SPDX-License-Identifier: MIT */
/* Starts a program that is to outlive the exec. */
#pragma once

#include <stddef.h>

#define MAX_LAUNCH 256

struct launch {
    char *words[MAX_LAUNCH + 1];
    size_t word_count;
    int fds[MAX_LAUNCH];
    size_t fd_count;
};

void launch_word(struct launch *launch, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Words with blanks between them; NULL: none. */
void launch_words(struct launch *launch, const char *text);

/* Gives it `fd`, borrowed and no standard stream; returns the number it will have there. */
int launch_fd(struct launch *launch, int fd);

/* Starts the program: a child of nobody's, in a session of its own, with its
 * standard streams on /dev/null but for standard error, which is `log` or, if
 * that is -1, a pipe. Returns the pipe's other end, or -1. */
int launch_run(struct launch *launch, int log);

/* `errors` being what launch_run() returned, says what a program said that did
 * not start, and, if not NULL, what may help against it, and dies. */
void launch_die(const struct launch *launch, int errors, const char *cure)
    __attribute__((noreturn));

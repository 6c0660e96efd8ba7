/* SPDX-License-Identifier: MIT */
/* Starts a process that is to outlive the exec: a program, or a part of this one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define MAX_LAUNCH     256
#define MAX_LAUNCH_FDS 4096

struct companion {
    /* What it does as a copy of this process. NULL: it becomes a program. */
    int (*run)(void *argument);
    void *argument;

    char *words[MAX_LAUNCH + 1]; /* the first is its name */
    size_t word_count;
    int fds[MAX_LAUNCH_FDS];
    size_t fd_count;
};

void launch_word(struct companion *companion, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Words with blanks between them; NULL: none. */
void launch_words(struct companion *companion, const char *text);

/* Gives it `fd`, borrowed and no standard stream; returns the number it will have there. */
int launch_fd(struct companion *companion, int fd);

/* Starts it: a child of nobody's, in a session of its own, with its
 * standard streams on /dev/null but for standard error, which is `log` or, if
 * that is -1, a pipe. Returns the pipe's other end, or -1. */
int launch_run(struct companion *companion, int log);

/* `errors` being what launch_run() returned, says what a program said that did
 * not start, and, if not NULL, what may help against it, and dies. */
void launch_die(const struct companion *companion, int errors, const char *cure)
    __attribute__((noreturn));

/* What ps(1) shows of a copy of this process is not to be taken for the emulator: who looks for
 * that goes by the words of its command line. Notes where they are. `argv` is main()'s. */
void process_title_begin(char **argv);

/* "PATH-OF-THIS-PROGRAM: WHAT" in their place, as far as there is room; and "fdset-WHAT" as
 * the name of the process. */
void process_title(const char *what);

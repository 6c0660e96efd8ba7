/* SPDX-License-Identifier: MIT */
/* fdsetctl's verbs, and how the words that stand behind them are read.
 *
 * One run is one request (but for watch): it connects, asks, prints and hangs up. Standard
 * output has what was asked for, as a table for people or as JSON for programs; standard error
 * has what went wrong, one sentence. */
#pragma once

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <fdset/manager.h>

#include "common/say.h"

/* Exit codes, as the manual page promises them. */
enum {
    EXIT_DONE = 0,
    EXIT_REFUSED = STATUS_FAILED, /* the helper or the kernel said no, or nobody listens */
    EXIT_USAGE = STATUS_USAGE,    /* the command line makes no sense; nothing was done */
    EXIT_NOTHING = 3,             /* what was looked for is nowhere */
    EXIT_LATE = 4,                /* it was removed, but not closed in time */
};

/* The words of the command line that are yet to be read, and what those said that every verb
 * takes. */
struct verb_line {
    int count;
    char **words;
    const char *help;   /* what --help shows */
    const char *socket; /* of --socket; NULL: none was given */
    uint32_t wait_ms;   /* of --wait; 0: it was not given */
};

/* What can stand behind "fdsetctl". `run` begins with options_read(), and returns an exit code
 * or ends the program by a function of common/say.h. */
struct verb {
    const char *name, *summary;
    int (*run)(struct verb_line *line);
};

/* An option of a verb. `place` is where, in the verb's own structure, a bool becomes true or,
 * if the option takes an argument, a text becomes the argument; `read`, if there is one, is
 * given that place, and the option's name for what it may have to say. */
struct verb_option {
    const char *name;
    int takes;  /* no_argument, required_argument, optional_argument */
    int letter; /* 0: none */
    size_t place;
    void (*read)(void *place, const char *name, const char *argument);
};

/* The end of a --help. */
#define COMMON_OPTIONS_TEXT                                                              \
    "  -S, --socket PATH    the helper's manage socket; default: $FDSET_MANAGE_SOCKET\n" \
    "      --wait[=SECONDS] wait so long for a helper to answer there; default: 10\n"    \
    "  -h, --help           show this and end\n"                                         \
    "  -V, --version        show the version and end\n"

/* Reads the options of `table`, which ends with a row without a name, into `options`, and those
 * that all verbs have into `line`, which is left with the words that are no options. Without a
 * table there are only the latter, up to the first such word. */
void options_read(struct verb_line *line, const char *help, const struct verb_option *table,
                  void *options);

/* Reads a set's number, name or path into `filter`, or ends the program. */
void set_argument(const char *text, struct fdset_filter *filter);

/* Ends the program where there are words that are no options. */
void no_operands(const struct verb_line *line);

/* What somebody may have meant who wrote something that there is not: one of `verbs`, which
 * ends with NULL, or NULL. */
const char *verb_suggest(const char *word, const char *const *verbs);

/* The same: one of the options that `help` names, with its two dashes, or NULL. The caller's
 * to free. */
char *option_suggest(const char *word, const char *help);

/* SPDX-License-Identifier: MIT */
/* QEMU's command line: the words, our own options among them, those of interest and paths
 * of sets. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct word {
    char *text;         /* NULL: taken out */
    const char *option; /* whose argument it is, without dashes, where that matters; or NULL */
};

#define MAX_LIMITS 16

/* What was said to ourselves, by words that begin with --fdset-. */
struct own_options {
    const char *emulator, *helper, *log, *manage, *observe;
    const char *limits[MAX_LIMITS + 1];
    size_t limit_count;
};

struct command_line {
    struct word *words; /* the first is the program's name */
    size_t count;
    const char *name; /* the machine's, by a file of -readconfig; NULL: none */
    struct own_options own;
};

/* Takes our own options out. May print a text that was asked for, and exit. */
void command_line_read(struct command_line *line, char **argv);

/* Is `word` an argument of `option`? */
bool word_is_of(const struct word *word, const char *option);

/* Adds an option at the end. `option`, without a dash, is to stay. */
void command_line_add(struct command_line *line, const char *option, const char *text);

/* A copy in which every path of a set leaves the emulator's own sets alone; with
 * `only_files`, only after "file=" and "path=". */
char *text_divert(const char *text, bool only_files);

/* Takes out an argument and the option before it. */
void command_line_drop(struct command_line *line, size_t argument);

/* Writes every path of a set so that it leaves the emulator's own sets alone:
 * //dev/fdset/N. Returns whether there are any. */
bool command_line_divert_paths(struct command_line *line);

/* Is the emulator asked for its help, and nothing else? */
bool command_line_asks_for_help(const struct command_line *line);

/* Prints what there is to be said after that, and exits. */
void command_line_help_more(void) __attribute__((noreturn));

/* What the virtual machine is called (-name); NULL: nothing is said. */
const char *command_line_machine_name(const struct command_line *line);

/* Is this libvirt (or one like it) asking what the emulator can do? */
bool command_line_is_probe(const struct command_line *line);

/* For execv(3), `emulator` being the first. */
char **command_line_argv(const struct command_line *line, const char *emulator);

/* What -readconfig files say of monitors, chardevs and descriptors becomes words of the
 * command line; paths of sets in them are diverted. Returns whether there are any. */
bool config_files_read(struct command_line *line);

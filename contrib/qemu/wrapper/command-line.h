/* SPDX-License-Identifier: MIT */
/* QEMU's command line, of which only our own options are taken out. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct word {
    char *text;
    const char *option; /* whose argument it is, without dashes, where that matters; or NULL */
};

#define MAX_LIMITS 16

/* What was said to ourselves, by words that begin with --fdset-. */
struct own_options {
    const char *emulator, *helper, *log, *manage, *observe;
    const char *limits[MAX_LIMITS + 1];
    size_t limit_count;
    bool strict;
};

/* What is passed on, and what of it matters here. */
struct command_line {
    struct word *words; /* the first is the program's name */
    size_t count;
    struct own_options own;
    char **members; /* the arguments of -add-fd, and such sections of -readconfig files */
    size_t member_count;
    const char *name; /* the machine's; NULL: none */
};

/* Takes our own options out. May print a text that was asked for, and exit. */
void command_line_read(struct command_line *line, char **argv);

/* Is `word` an argument of `option`? */
bool word_is_of(const struct word *word, const char *option);

/* Notes a member, in QEMU's syntax: "fd=5,set=1". */
void command_line_note_member(struct command_line *line, const char *text);

/* The last value of `key` in QEMU's "key=value,key=value", in which a comma is doubled; a value
 * without a key is `first`'s if it is the first. NULL: there is none. */
char *option_value(const char *text, const char *key, const char *first);

/* Adds an option at the end. */
void command_line_add(struct command_line *line, const char *option, const char *text);

/* Is the emulator asked for its help, and nothing else? */
bool command_line_asks_for_help(const struct command_line *line);

/* Prints what there is to be said after that, and exits. */
void command_line_help_more(void) __attribute__((noreturn));

/* Is only asked what the emulator can do, by libvirt or one like it? */
bool command_line_is_probe(const struct command_line *line);

/* For execv(3), `emulator` being the first. */
char **command_line_argv(const struct command_line *line, const char *emulator);

/* Notes what a file of -readconfig says of members and name. Its argument at `index` becomes
 * another where the file can be read only once. */
void config_file_look(struct command_line *line, size_t index);

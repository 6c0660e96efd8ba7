/* SPDX-License-Identifier: MIT */
/* Reads the options of a verb by its table, and those that all verbs have. */
#include "base/options.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/words.h"

#define WAIT_MS_DEFAULT 10000

static void wait_option(void *place, const char *name, const char *argument) {
    uint32_t *wait_ms = place;

    if (!argument)
        *wait_ms = WAIT_MS_DEFAULT;
    else if (!seconds_parse(argument, wait_ms))
        die_usage("--%s: '%s' is not a time: give seconds from 1, or a number with ms, s or min",
                  name, argument);
}

static void help_option(void *place, const char *name, const char *argument) {
    fputs(*(const char **)place, stdout);
    exit(EXIT_DONE);
}

static void version_option(void *place, const char *name, const char *argument) {
    puts("fdsetctl " FDSETCTL_VERSION);
    exit(EXIT_DONE);
}

static const struct verb_option common[] = {
    {"socket", required_argument, 'S', offsetof(struct verb_line, socket)},
    {"help", no_argument, 'h', offsetof(struct verb_line, help), help_option},
    {"version", no_argument, 'V', 0, version_option},
    {"wait", optional_argument, 0, offsetof(struct verb_line, wait_ms), wait_option},
};
#define COMMON_COUNT (sizeof(common) / sizeof(common[0]))

/* A table as getopt_long(3) wants it. An option is found again by its index. */
#define MAX_OPTIONS 48
#define FIRST_CODE  256

struct getopt_table {
    const struct verb_option *rows[MAX_OPTIONS];
    size_t count;
    struct option options[MAX_OPTIONS + 1];
    char letters[3 * MAX_OPTIONS + 2];
};

static void row_add(struct getopt_table *table, const struct verb_option *row) {
    size_t length = strlen(table->letters);

    assert(table->count < MAX_OPTIONS);
    table->options[table->count] =
        (struct option){row->name, row->takes, NULL, FIRST_CODE + (int)table->count};
    table->rows[table->count++] = row;
    /* As getopt(3) has it: one colon for an argument, two for one that may be left out. */
    if (row->letter)
        snprintf(table->letters + length, sizeof(table->letters) - length, "%c%.*s", row->letter,
                 row->takes, "::");
}

/* The table's count where there is none. */
static size_t row_find(const struct getopt_table *table, int code) {
    size_t index = 0;

    while (index < table->count && code != FIRST_CODE + (int)index &&
           code != table->rows[index]->letter)
        index++;
    return index;
}

/* getopt_long(3) has said what is wrong; this says what may have been meant. */
_Noreturn static void option_unknown(const struct verb_line *line) {
    const char *word = line->words[optind - 1];
    bool is_long = !optopt && strncmp(word, "--", 2) == 0;
    char *meant = is_long ? option_suggest(word + 2, line->help) : NULL;

    if (meant)
        fprintf(stderr, "Did you mean '%s'?\n", meant);
    die_try_help();
}

static void row_apply(const struct verb_option *row, void *object) {
    void *place = (char *)object + row->place;

    if (row->read)
        row->read(place, row->name, optarg);
    else if (row->takes == no_argument)
        *(bool *)place = true;
    else
        *(const char **)place = optarg;
}

void options_read(struct verb_line *line, const char *help, const struct verb_option *own,
                  void *options) {
    struct getopt_table table = {.letters = ""};
    int code;

    line->help = help;
    if (!own)
        strcpy(table.letters, "+");
    for (size_t i = 0; i < COMMON_COUNT; i++)
        row_add(&table, &common[i]);
    for (const struct verb_option *row = own; row && row->name; row++)
        row_add(&table, row);
    optind = 0; /* getopt_long(3) starts anew */
    while ((code = getopt_long(line->count, line->words, table.letters, table.options, NULL)) >=
           0) {
        size_t index = row_find(&table, code);
        if (index == table.count)
            option_unknown(line);
        row_apply(table.rows[index], index < COMMON_COUNT ? (void *)line : options);
    }
    line->count -= optind;
    line->words += optind;
}

void set_argument(const char *text, struct fdset_filter *filter) {
    if (!set_or_name_parse(text, filter))
        die_usage("'%s' is not a set: give a number, a name or /dev/fdset/NUMBER", text);
}

void no_operands(const struct verb_line *line) {
    if (line->count > 0)
        die_usage("too many arguments: '%s'", line->words[0]);
}

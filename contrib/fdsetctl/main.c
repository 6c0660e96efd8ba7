/* SPDX-License-Identifier: MIT */
/* fdsetctl: the command-line manager of fdset-helper. Finds the verb, and runs it. */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/options.h"
#include "base/plain.h"
#include "common/descriptors.h"
#include "common/memory.h"
#include "verbs.h"

#define DECLARATION(name) extern const struct verb verb_##name;
#define ROW(name)         &verb_##name,
VERBS(DECLARATION)
static const struct verb *const verbs[] = {VERBS(ROW)};
#define VERB_COUNT (sizeof(verbs) / sizeof(verbs[0]))

static char *help_make(void) {
    struct text_stream text;

    text_stream_begin(&text);
    fputs("Usage: fdsetctl [--socket PATH] COMMAND ...\n"
          "Manage the descriptors that fdset-helper keeps for a virtual machine.\n"
          "\nCommands:\n",
          text.stream);
    for (size_t i = 0; i < VERB_COUNT; i++)
        fprintf(text.stream, "  %-20s %s\n", verbs[i]->name, verbs[i]->summary);
    fputs("\nOptions, before or after the command:\n" COMMON_OPTIONS_TEXT
          "\n'fdsetctl COMMAND --help' tells a command's own options; fdsetctl(1) tells all.\n",
          text.stream);
    return text_stream_end(&text);
}

static const struct verb *verb_find(const char *name) {
    const char *names[VERB_COUNT + 1] = {NULL};

    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (strcmp(name, verbs[i]->name) == 0)
            return verbs[i];
        names[i] = verbs[i]->name;
    }
    const char *meant = verb_suggest(name, names);
    die_usage("there is no command '%s'%s%s%s", name, meant ? "; did you mean '" : "",
              meant ? meant : "", meant ? "'?" : "");
}

/* Who speaks, also for getopt_long(3). */
static void name_set(struct verb_line *line, char *name) {
    line->words[0] = name;
    say_as(name, "--help");
}

int main(int argc, char **argv) {
    struct verb_line line = {.count = argc, .words = argv};
    char name[] = "fdsetctl", *help = help_make();

    standard_streams_fill();
    setlocale(LC_ALL, "");
    say_through(plain_text);
    name_set(&line, name);
    options_read(&line, help, NULL, NULL);
    free(help);
    if (line.count == 0)
        die_usage("no command given");
    const struct verb *verb = verb_find(line.words[0]);
    name_set(&line, xasprintf("fdsetctl %s", verb->name));
    int code = verb->run(&line);
    if (fflush(stdout) || ferror(stdout)) {
        say_as(name, "--help");
        die("cannot write to standard output");
    }
    return code;
}

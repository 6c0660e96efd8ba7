/* SPDX-License-Identifier: MIT */
/* The words of the command line, one by one. */
#include "command-line.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "common/say.h"
#include "name.h"
#include "qemu_opts.h"

static const char usage[] =
    "Usage: fdset-qemu [--fdset-OPTION]... [QEMU-OPTION]...\n"
    "\n"
    "Runs QEMU with its sets of descriptors (/dev/fdset/N, -add-fd, and add-fd over a\n"
    "monitor) kept by an fdset-helper of its own. Everything else is QEMU's.\n"
    "\n";

static const char options_help[] =
    "  --fdset-emulator PATH  which emulator to run; else FDSET_EMULATOR in the\n"
    "                         environment, else the name that this was called by\n"
    "                         without \"fdset-\", else qemu-system-x86_64\n"
    "  --fdset-helper PATH    which helper; else FDSET_HELPER, else the one that was\n"
    "                         built or installed with this\n"
    "  --fdset-manage PATH    let the helper listen for managers (fdsetctl) there\n"
    "  --fdset-observe PATH   and for observers, which may only look\n"
    "  --fdset-limit NAME=N   how much the helper holds: --limit of fdset-helper(8);\n"
    "                         may be given several times\n"
    "  --fdset-log FILE       append what helper and relay say, and what was run\n"
    "  --fdset-help, --fdset-version\n"
    "\n"
    "Further options of the helper's go into FDSET_HELPER_OPTIONS in the environment.\n"
    "\n"
    "Exit status: the emulator's; 1 if it could not be started, 2 for a wrong\n"
    "--fdset- option.\n";

/* The name without dashes, one or two; NULL where it is no option. */
static const char *option_name(const char *word) {
    if (word[0] != '-' || !word[1])
        return NULL;
    return word + (word[1] == '-' ? 2 : 1);
}

static bool is_among(const char *name, const char *const *names) {
    for (; *names; names++)
        if (strcmp(name, *names) == 0)
            return true;
    return false;
}

/* Text for the guest or for people; and files that QEMU opens before it goes into
 * the background, as no file of a set's can be. */
static const char *const text_options[] = {"D",          "append", "name", "prom-env",
                                           "readconfig", "uuid",   NULL};

/* Text in parts: only what is after one of their file_keys is a path. */
static const char *const mixed_options[] = {"fw_cfg", "smbios", NULL};
static const char *const file_keys[] = {"file=", "path=", NULL};

/* The others whose argument matters. */
static const char *const read_options[] = {"M",       "add-fd", "chardev",    "machine",    "mon",
                                           "monitor", "qmp",    "qmp-pretty", "readconfig", NULL};

static const char *option_with_argument(const char *word) {
    const char *name = option_name(word);
    if (name && (is_among(name, text_options) || is_among(name, mixed_options) ||
                 is_among(name, read_options)))
        return name;
    return NULL;
}

/* ------------------------------------------------------------ own options */

static void __attribute__((noreturn)) finish(const char *text) {
    bool written = fputs(text, stdout) >= 0 && fflush(stdout) == 0;
    exit(written ? 0 : 1);
}

/* `word` is "--fdset-NAME" or "--fdset-NAME=VALUE". Returns whether it took `next`. */
static bool own_option_read(struct own_options *own, const char *word, const char *next) {
    const char **limit = &own->limits[own->limit_count]; /* the one that may come again */
    const struct {
        const char *name, **value;
    } options[] = {{"fdset-emulator", &own->emulator},
                   {"fdset-helper", &own->helper},
                   {"fdset-manage", &own->manage},
                   {"fdset-observe", &own->observe},
                   {"fdset-limit", limit},
                   {"fdset-log", &own->log}};
    const char *name = option_name(word), *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);

    if (strcmp(name, "fdset-help") == 0) {
        fputs(usage, stdout);
        finish(options_help);
    }
    if (strcmp(name, "fdset-version") == 0)
        finish("fdset-qemu " FDSET_QEMU_VERSION "\n");
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        if (strlen(options[i].name) != length || strncmp(name, options[i].name, length) != 0)
            continue;
        const char *value = equals ? equals + 1 : next;
        if (!value || !*value)
            die_usage("%s needs a value", word);
        *options[i].value = value;
        if (options[i].value == limit && ++own->limit_count > MAX_LIMITS)
            die_usage("--fdset-limit: at most %d of them", MAX_LIMITS);
        return !equals;
    }
    die_usage("unknown option %s", word);
}

void command_line_read(struct command_line *line, char **argv) {
    size_t count = 0;
    while (argv[count])
        count++;
    *line = (struct command_line){.words = xcalloc(count + 1, sizeof(struct word))};

    for (size_t i = 0; i < count; i++) {
        const char *name = option_name(argv[i]);
        const char *option = i > 0 ? option_with_argument(argv[i]) : NULL;
        if (i > 0 && name && strncmp(name, "fdset-", strlen("fdset-")) == 0) {
            i += own_option_read(&line->own, argv[i], argv[i + 1]);
            continue;
        }
        line->words[line->count++] = (struct word){argv[i], NULL};
        if (option && i + 1 < count)
            line->words[line->count++] = (struct word){argv[++i], option};
    }
}

/* ---------------------------------------------------------------- changes */

bool word_is_of(const struct word *word, const char *option) {
    return word->text && word->option && strcmp(word->option, option) == 0;
}

void command_line_add(struct command_line *line, const char *option, const char *text) {
    line->words = xreallocarray(line->words, line->count + 2, sizeof(*line->words));
    line->words[line->count++] = (struct word){xasprintf("-%s", option), NULL};
    line->words[line->count++] = (struct word){xstrdup(text), option};
}

void command_line_drop(struct command_line *line, size_t argument) {
    line->words[argument - 1].text = NULL;
    line->words[argument].text = NULL;
}

/* Is `at` in `text` where a path begins, and not in the middle of a longer one? */
static bool is_path_start(const char *text, const char *at) {
    return at == text || !(isalnum((unsigned char)at[-1]) || strchr("._-/", at[-1]));
}

static bool is_after_file_key(const char *text, const char *at) {
    for (const char *const *key = file_keys; *key; key++) {
        size_t length = strlen(*key);
        if ((size_t)(at - text) >= length && strncmp(at - length, *key, length) == 0)
            return true;
    }
    return false;
}

char *text_divert(const char *text, bool only_files) {
    char *diverted = xcalloc(2 * strlen(text) + 1, 1), *end = diverted;

    for (const char *at = text; *at; at++) {
        if (strncmp(at, SET_PATH_PREFIX, strlen(SET_PATH_PREFIX)) == 0 && is_path_start(text, at) &&
            (!only_files || is_after_file_key(text, at)))
            *end++ = '/';
        *end++ = *at;
    }
    return diverted;
}

bool command_line_divert_paths(struct command_line *line) {
    bool any = false;

    for (size_t i = 1; i < line->count; i++) {
        struct word *word = &line->words[i];
        if (!word->text || !strstr(word->text, SET_PATH_PREFIX) ||
            (word->option && is_among(word->option, text_options)))
            continue;
        word->text = text_divert(word->text, word->option && is_among(word->option, mixed_options));
        any = true;
    }
    return any;
}

bool command_line_asks_for_help(const struct command_line *line) {
    const char *name = line->count == 2 ? option_name(line->words[1].text) : NULL;
    return name && (strcmp(name, "h") == 0 || strcmp(name, "help") == 0);
}

void command_line_help_more(void) {
    printf("\nOptions of fdset-qemu, which runs this emulator:\n\n");
    finish(options_help);
}

/* The last that is given counts, as to QEMU, which puts several options together. */
const char *command_line_machine_name(const struct command_line *line) {
    const char *name = line->name;

    for (size_t i = 1; i < line->count; i++) {
        struct pairs pairs;
        if (!word_is_of(&line->words[i], "name"))
            continue;
        pairs_parse(&pairs, line->words[i].text, "guest");
        const char *guest = pairs_get(&pairs, "guest");
        name = guest ? guest : name;
    }
    return name && *name ? name : NULL;
}

static bool has_option(const struct command_line *line, const char *name) {
    for (size_t i = 1; i < line->count; i++) {
        const struct word *word = &line->words[i];
        if (word->text && !word->option && option_name(word->text) &&
            strcmp(option_name(word->text), name) == 0)
            return true;
    }
    return false;
}

static bool is_machine_none(const struct word *word) {
    struct pairs pairs;

    if (!word_is_of(word, "machine") && !word_is_of(word, "M"))
        return false;
    pairs_parse(&pairs, word->text, "type");
    const char *type = pairs_get(&pairs, "type");
    return type && strcmp(type, "none") == 0;
}

/* No machine, no configuration, and in the background. */
bool command_line_is_probe(const struct command_line *line) {
    bool none = false;

    for (size_t i = 1; i < line->count; i++)
        none |= is_machine_none(&line->words[i]);
    return none && has_option(line, "daemonize") && has_option(line, "nodefaults") &&
           !has_option(line, "blockdev") && !has_option(line, "drive");
}

char **command_line_argv(const struct command_line *line, const char *emulator) {
    char **argv = xcalloc(line->count + 1, sizeof(*argv));
    size_t count = 0;

    argv[count++] = xstrdup(emulator);
    for (size_t i = 1; i < line->count; i++)
        if (line->words[i].text)
            argv[count++] = line->words[i].text;
    return argv;
}

/* SPDX-License-Identifier: MIT */
/* The words of the command line, one by one, and what files of -readconfig add to them. */
#include "command-line.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/descriptors.h"
#include "common/memory.h"
#include "common/say.h"

static const char usage[] =
    "Usage: fdset-qemu [--fdset-OPTION]... [QEMU-OPTION]...\n"
    "\n"
    "Runs QEMU with what is in its sets of descriptors (/dev/fdset/N, -add-fd, and add-fd\n"
    "over a monitor) kept by an fdset-helper of its own. Everything else is QEMU's.\n"
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
    "  --fdset-strict         refuse a file that gets into QEMU past the helper, by a\n"
    "                         socket; else it is only told of\n"
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

/* Of those whose argument matters, or may look like an option; else NULL. */
static const char *option_with_argument(const char *word) {
    static const char *const names[] = {"M",    "add-fd",   "append",    "machine",
                                        "name", "prom-env", "readconfig"};
    const char *name = option_name(word);

    for (size_t i = 0; name && i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
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
    if (strcmp(name, "fdset-strict") == 0) {
        own->strict = true;
        return false;
    }
    if (strcmp(name, "fdset-version") == 0)
        finish("fdset-qemu " FDSET_QEMU_VERSION "\n");
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        if (strlen(options[i].name) != length || strncmp(name, options[i].name, length) != 0)
            continue;
        const char *value = equals ? equals + 1 : next;
        if (!value || !*value)
            die_usage("%s needs a value", word);
        *options[i].value = xstrdup(value); /* process_title() overwrites the words */
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

/* --------------------------------------------------------------- what matters */

/* Copies a value up to its comma, which is not doubled. `*text` is then behind that, or NULL. */
static char *value_read(const char **text) {
    const char *from = *text;
    char *value = xcalloc(strlen(from) + 1, 1), *to = value;

    for (; *from && !(from[0] == ',' && from[1] != ','); from++) {
        if (*from == ',')
            from++;
        *to++ = *from;
    }
    *text = *from ? from + 1 : NULL;
    return value;
}

char *option_value(const char *text, const char *key, const char *first) {
    char *found = NULL;

    while (text && *text) {
        size_t length = strcspn(text, "=,");
        bool is_key =
            text[length] == '=' && strlen(key) == length && strncmp(text, key, length) == 0;
        bool is_first = text[length] != '=' && first && strcmp(first, key) == 0;
        text += text[length] == '=' ? length + 1 : 0;
        char *value = value_read(&text);
        if (is_key || is_first)
            found = value;
        first = NULL;
    }
    return found;
}

bool word_is_of(const struct word *word, const char *option) {
    return word->option && strcmp(word->option, option) == 0;
}

void command_line_note_member(struct command_line *line, const char *text) {
    line->members = xreallocarray(line->members, line->member_count + 1, sizeof(*line->members));
    line->members[line->member_count++] = xstrdup(text);
}

void command_line_add(struct command_line *line, const char *option, const char *text) {
    line->words = xreallocarray(line->words, line->count + 2, sizeof(*line->words));
    line->words[line->count++] = (struct word){xasprintf("-%s", option), NULL};
    line->words[line->count++] = (struct word){xstrdup(text), option};
}

bool command_line_asks_for_help(const struct command_line *line) {
    const char *name = line->count == 2 ? option_name(line->words[1].text) : NULL;
    return name && (strcmp(name, "h") == 0 || strcmp(name, "help") == 0);
}

void command_line_help_more(void) {
    printf("\nOptions of fdset-qemu, which runs this emulator:\n\n");
    finish(options_help);
}

static bool has_option(const struct command_line *line, const char *name) {
    for (size_t i = 1; i < line->count; i++) {
        const struct word *word = &line->words[i];
        if (!word->option && option_name(word->text) && strcmp(option_name(word->text), name) == 0)
            return true;
    }
    return false;
}

static bool is_machine_none(const struct word *word) {
    if (!word_is_of(word, "machine") && !word_is_of(word, "M"))
        return false;
    const char *type = option_value(word->text, "type", "type");
    return type && strcmp(type, "none") == 0;
}

/* No machine, no configuration, and in the background. */
bool command_line_is_probe(const struct command_line *line) {
    bool none = false;

    if (line->member_count > 0 || line->own.manage || line->own.observe)
        return false;
    if (line->count == 2 && has_option(line, "version"))
        return true;
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
        argv[count++] = line->words[i].text;
    return argv;
}

/* ---------------------------------------------------------------- -readconfig */

/* A file of options, which Incus gives and libvirt does not.
 *
 *     [add-fd]
 *       fd = "20"
 *       set = "1"
 *
 * QEMU reads it by itself: here it is only looked at. What is no such line is left for QEMU to
 * complain of. */

static void pair_write(FILE *to, const char *separator, const char *key, const char *value) {
    fprintf(to, "%s%s=", separator, key);
    for (; *value; value++)
        fprintf(to, *value == ',' ? ",%c" : "%c", *value);
}

/* Lines are read as QEMU reads them. */
static void file_look(FILE *from, struct command_line *line) {
    char text[1024], group[64] = "", key[64], value[1024];
    const char *separator = "";
    struct text_stream member = {NULL};
    bool more;

    do {
        more = fgets(text, sizeof(text), from);
        bool begins = more && sscanf(text, "[%63[^] ]", group) == 1;
        if (member.stream && (begins || !more)) {
            command_line_note_member(line, text_stream_end(&member));
            member.stream = NULL;
        }
        if (begins) {
            separator = "";
            if (strcmp(group, "add-fd") == 0)
                text_stream_begin(&member);
        } else if (more && sscanf(text, " %63s = \"%1023[^\"]\"", key, value) == 2) {
            if (member.stream)
                pair_write(member.stream, separator, key, value);
            else if (strcmp(group, "name") == 0 && strcmp(key, "guest") == 0)
                line->name = xstrdup(value);
            separator = ",";
        }
    } while (more);
}

/* Of a pipe nothing would be left for the emulator to read. */
static FILE *copy_make(FILE *from, char **word) {
    int memory = fd_move_high(memfd_create("readconfig", MFD_CLOEXEC), "a file in memory");
    FILE *copy = fdopen(memory, "w+");
    int byte;

    if (!copy)
        die("a file in memory: %s", strerror(errno));
    while ((byte = getc(from)) != EOF)
        putc(byte, copy);
    rewind(copy);
    fd_inherit(memory);
    *word = xasprintf("/proc/self/fd/%d", memory);
    return copy;
}

void config_file_look(struct command_line *line, size_t index) {
    FILE *from = fopen(line->words[index].text, "re");
    struct stat status;

    if (!from) /* the emulator will say so */
        return;
    bool is_file = fstat(fileno(from), &status) == 0 && S_ISREG(status.st_mode);
    FILE *seen = is_file ? from : copy_make(from, &line->words[index].text);
    file_look(seen, line);
    /* Where it is a copy, the emulator reads it by its descriptor. */
    if (is_file)
        fclose(from);
}

/* SPDX-License-Identifier: MIT */
/* -readconfig: a file of options, which Incus gives and libvirt does not.
 *
 *     [chardev "monitor"]
 *       backend = "socket"
 *       path = "/run/vm1/qemu.monitor"
 *
 * Its monitors, their chardevs and its descriptors go to where the others are, onto the
 * command line; of a [name] the guest's is noted. What is left is the emulator's, in a file
 * in memory; a line that was taken leaves an empty one, so that the numbers in the emulator's
 * messages are right. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "command-line.h"
#include "common/descriptors.h"
#include "common/memory.h"
#include "common/say.h"
#include "qemu_opts.h"

static const char blanks[] = " \t\r\n";

/* What stands between `*text` and the next of `ends`; `*text` is then at that. */
static char *part_read(const char **text, const char *ends) {
    size_t length = strcspn(*text, ends);
    char *part = xasprintf("%.*s", (int)length, *text);
    *text += length;
    return part;
}

/* [group] or [group "id"]. */
static bool section_begins(const char *line, char **group, char **id) {
    if (*line++ != '[')
        return false;
    *group = part_read(&line, " ]");
    line += strspn(line, " ");
    *id = NULL;
    if (*line == '"') {
        line++;
        *id = part_read(&line, "\"");
        line += *line == '"';
    }
    return *line == ']';
}

/* key = "value" */
static bool setting_read(const char *line, char **key, char **value) {
    line += strspn(line, blanks);
    *key = part_read(&line, " \t=");
    line += strspn(line, blanks);
    if (*line != '=')
        return false;
    line++;
    line += strspn(line, blanks);
    if (*line++ != '"')
        return false;
    *value = part_read(&line, "\"");
    return **key && *line == '"';
}

static bool is_ours(const char *group) {
    return strcmp(group, "chardev") == 0 || strcmp(group, "mon") == 0 ||
           strcmp(group, "add-fd") == 0;
}

/* ----------------------------------------------------------------- a file */

struct section {
    char *group; /* NULL: none of ours */
    bool is_name;
    struct pairs pairs;
};

static void section_end(struct section *section, struct command_line *line) {
    if (section->group)
        command_line_add(line, section->group, pairs_text(&section->pairs, NULL));
    section->group = NULL;
}

static void section_begin(struct section *section, char *group, const char *id) {
    section->group = is_ours(group) ? group : NULL;
    section->is_name = strcmp(group, "name") == 0;
    section->pairs.count = 0;
    if (section->group && id)
        pairs_add(&section->pairs, "id", id);
}

/* Returns whether the line was taken. */
static bool line_take(struct section *section, const char *text, struct command_line *line) {
    char *group, *id, *key, *value;

    if (section_begins(text, &group, &id)) {
        section_end(section, line);
        section_begin(section, group, id);
        return section->group;
    }
    if (section->is_name && setting_read(text, &key, &value) && strcmp(key, "guest") == 0)
        line->name = value;
    if (!section->group || *text == '#' || !text[strspn(text, blanks)])
        return false;
    if (!setting_read(text, &key, &value))
        die("-readconfig: [%s]: not 'key = \"value\"': %.200s", section->group, text);
    pairs_add(&section->pairs, key, value);
    return true;
}

/* Copies what stays. Returns whether it differs from what there was. */
static bool file_copy(FILE *from, FILE *to, struct command_line *line, bool *has_sets) {
    struct section section = {0};
    bool differs = false;
    char *text = NULL;
    size_t size = 0;

    while (getline(&text, &size, from) > 0) {
        bool taken = line_take(&section, text, line);
        const char *stays = taken ? "\n" : text_divert(text, false);
        *has_sets |= !taken && strcmp(stays, text) != 0;
        differs |= taken || strcmp(stays, text) != 0;
        fputs(stays, to);
    }
    section_end(&section, line);
    free(text);
    return differs;
}

static bool file_read(struct command_line *line, size_t index) {
    const char *path = line->words[index].text;
    FILE *from = fopen(path, "re");
    bool has_sets = false;

    if (!from) /* the emulator will say so */
        return false;
    int memory = fd_move_high(memfd_create("readconfig", MFD_CLOEXEC), "a file in memory");
    FILE *to = fdopen(dup(memory), "w");
    if (!to)
        die("%s: %s", path, strerror(errno));
    /* Of a pipe, nothing is left for the emulator to read. */
    bool differs = file_copy(from, to, line, &has_sets) || fseek(from, 0, SEEK_SET) < 0;
    if (ferror(from) || fclose(to) != 0)
        die("%s: %s", path, strerror(errno));
    fclose(from);
    if (!differs) {
        close(memory);
        return false;
    }
    fd_inherit(memory);
    line->words[index].text = xasprintf("/proc/self/fd/%d", memory);
    return has_sets;
}

bool config_files_read(struct command_line *line) {
    size_t count = line->count; /* what is added is no file */
    bool has_sets = false;

    for (size_t i = 1; i < count; i++)
        if (word_is_of(&line->words[i], "readconfig"))
            has_sets |= file_read(line, i);
    return has_sets;
}

/* SPDX-License-Identifier: MIT */
/* -readconfig: a file of options, which Incus gives and libvirt does not.
 *
 *     [add-fd]
 *       fd = "20"
 *       set = "1"
 *
 * QEMU reads it by itself: here it is only looked at. What is no such line is left for QEMU to
 * complain of. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command-line.h"
#include "common/descriptors.h"
#include "common/memory.h"
#include "common/say.h"

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

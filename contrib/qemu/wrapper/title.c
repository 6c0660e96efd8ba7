/* SPDX-License-Identifier: MIT */
/* Overwrites the words of the command line where the kernel shows them. */
#include "launch.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static char *words;
static size_t size;

void process_title_begin(char **argv) {
    words = argv[0];
    /* The kernel puts one behind the other. */
    for (char **word = argv; *word && *word == words + size; word++)
        size += strlen(*word) + 1;
}

void process_title(const char *what) {
    char path[PATH_MAX], title[PATH_MAX + 64], name[16]; /* as much as the kernel keeps */
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path));

    snprintf(title, sizeof(title), "%.*s: %s", length > 0 ? (int)length : 0, path, what);
    if (size > 0) {
        memset(words, 0, size);
        strncpy(words, title, size - 1);
    }
    snprintf(name, sizeof(name), "fdset-%s", what);
    prctl(PR_SET_NAME, name);
}

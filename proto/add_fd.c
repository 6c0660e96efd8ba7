/* SPDX-License-Identifier: MIT */
/* The one grammar of fd=N,set=M[,opaque=TEXT]. */
#include "add_fd.h"

#include <fcntl.h>
#include <fdset/limits.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "number.h"

#define NO_NUMBER UINT64_MAX

static bool refuse(char why[ADD_FD_WHY_BYTES], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool refuse(char why[ADD_FD_WHY_BYTES], const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(why, ADD_FD_WHY_BYTES, format, arguments);
    va_end(arguments);
    return false;
}

/* Cuts the next "key=value" off `*text`, undoubling commas in place. */
static bool pair_next(char **text, int how, char **key, char **value) {
    char *from = *text, *to = from;

    if (!from || !*from)
        return false;
    *key = from;
    *value = NULL;
    for (; *from && !(from[0] == ',' && from[1] != ','); from++, to++) {
        if (*from == ',')
            from++;
        *to = *from;
        if (*to != '=' || *value)
            continue;
        *to = '\0';
        *value = to + 1;
        if ((how & ADD_FD_LABEL_END) && strcmp(*key, "opaque") == 0) {
            *value = from + 1;
            *text = NULL;
            return true;
        }
    }
    *text = *from ? from + 1 : NULL;
    *to = '\0';
    return true;
}

static bool pair_read(char *key, char *value, int how, uint64_t *fd, uint64_t *set,
                      struct add_fd *add, char *why) {
    int base = how & ADD_FD_ANY_BASE ? 0 : 10;

    if (!value)
        return refuse(why, "'%s' has no value: expected fd=N,set=M[,opaque=TEXT]", key);
    if (strcmp(key, "opaque") == 0) {
        add->opaque = value;
        return true;
    }
    if (how & ADD_FD_FOR && strcmp(key, "for") == 0) {
        add->endpoint = value;
        return true;
    }
    if (strcmp(key, "fd") != 0 && strcmp(key, "set") != 0)
        return refuse(why, "Invalid parameter '%s': expected fd, set or opaque", key);
    uint64_t *number = key[0] == 'f' ? fd : set;
    /* A negative one is a number, but none that there can be. */
    if (!number_parse_base(value + (value[0] == '-'), base, INT64_MAX, number))
        return refuse(why, "Parameter '%s' expects a number", key);
    if (value[0] == '-')
        *number = NO_NUMBER;
    return true;
}

bool is_inherited(int fd) {
    int flags = fcntl(fd, F_GETFD);

    return flags >= 0 && !(flags & FD_CLOEXEC);
}

bool add_fd_parse(struct add_fd *add, char *text, int how, char why[ADD_FD_WHY_BYTES]) {
    uint64_t fd = NO_NUMBER, set = NO_NUMBER;
    struct add_fd read = {0};
    char *key, *value;

    while (pair_next(&text, how, &key, &value))
        if (!pair_read(key, value, how, &fd, &set, &read, why))
            return false;
    if (fd > INT_MAX)
        return refuse(why, "fd option is required and must be non-negative");
    if (fd <= STDERR_FILENO)
        return refuse(why, "fd cannot be a standard I/O stream");
    if (set > INT_MAX)
        return refuse(why, "set option is required and must be from 0 to %d", INT_MAX);
    if (read.opaque && strlen(read.opaque) > FDSET_MAX_OPAQUE_BYTES)
        return refuse(why, "opaque has %zu bytes, and may have %d", strlen(read.opaque),
                      FDSET_MAX_OPAQUE_BYTES);
    if (!is_inherited((int)fd))
        return refuse(why, "fd is not valid or already in use: %d", (int)fd);
    read.fd = (int)fd;
    read.set = (int)set;
    *add = read;
    return true;
}

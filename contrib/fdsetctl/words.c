#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "words.h"

bool number_parse(const char *text, uint32_t limit, uint32_t *number) {
    if (*text == '\0' || strspn(text, "0123456789") != strlen(text))
        return false;
    errno = 0;
    unsigned long long value = strtoull(text, NULL, 10);
    if (errno || value > limit)
        return false;
    *number = value;
    return true;
}

bool set_parse(const char *text, int *set) {
    static const char prefix[] = "/dev/fdset/";
    uint32_t number;

    if (!strncmp(text, prefix, strlen(prefix)))
        text += strlen(prefix);
    if (!number_parse(text, INT_MAX, &number))
        return false;
    *set = number;
    return true;
}

const char *mode_word(int flags) {
    switch (flags & O_ACCMODE) {
    case O_RDONLY:
        return "read-only";
    case O_WRONLY:
        return "write-only";
    case O_RDWR:
        return "read-write";
    default:
        return "unknown";
    }
}

const char *flag_word(size_t index, int flags, bool *is_set) {
    static const struct {
        int bits;
        const char *word;
    } words[] = {
        {O_DIRECT, "direct"},   {O_APPEND, "append"},  {O_NONBLOCK, "nonblock"},
        {O_NOATIME, "noatime"}, {O_SYNC, "sync"},      {O_DSYNC, "dsync"},
        {O_CREAT, "create"},    {O_EXCL, "exclusive"}, {O_TRUNC, "truncate"},
    };

    if (index >= sizeof words / sizeof *words)
        return NULL;
    int bits = words[index].bits;
    *is_set = (flags & bits) == bits;
    /* O_SYNC is O_DSYNC and one bit more: then it is not also "dsync". */
    if (bits == O_DSYNC && (flags & O_SYNC) == O_SYNC)
        *is_set = false;
    return words[index].word;
}

const char *lifetime_word(enum fdset_lifetime lifetime) {
    return lifetime == FDSET_KEEP         ? "keep"
           : lifetime == FDSET_CONNECTION ? "connection"
                                          : "unknown";
}

const char *state_word(enum fdset_member_state state) {
    switch (state) {
    case FDSET_MEMBER_LISTED:
        return "listed";
    case FDSET_MEMBER_REMOVED:
        return "removed";
    case FDSET_MEMBER_SETTLING:
        return "settling";
    case FDSET_MEMBER_CLOSING:
        return "closing";
    default:
        return "unknown";
    }
}

const char *sharing_word(enum fdset_sharing sharing) {
    return sharing == FDSET_EXCLUSIVE ? "exclusive"
           : sharing == FDSET_SHARED  ? "shared"
                                      : "default";
}

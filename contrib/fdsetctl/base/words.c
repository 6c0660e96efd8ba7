/* SPDX-License-Identifier: MIT */
/* Turns what users write into numbers, and numbers into the words that they read. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "base/words.h"
#include "name.h"
#include "number.h"

static const char *prefix_skip(const char *text) {
    size_t length = strlen(SET_PATH_PREFIX);

    return strncmp(text, SET_PATH_PREFIX, length) == 0 ? text + length : text;
}

bool set_parse(const char *text, int *set) {
    return int_parse(prefix_skip(text), set);
}

bool set_or_name_parse(const char *text, struct fdset_filter *filter) {
    if (set_parse(text, &filter->set)) {
        filter->by_set = true;
        return true;
    }
    filter->name = prefix_skip(text);
    return set_name_is_valid(filter->name);
}

bool time_parse(const char *text, uint32_t *milliseconds) {
    static const struct {
        const char *name;
        uint32_t milliseconds;
    } units[] = {{"ms", 1}, {"s", 1000}, {"min", 60000}};
    size_t digits = strspn(text, "0123456789");
    char number[16];
    uint32_t value;

    if (digits >= sizeof(number))
        return false;
    memcpy(number, text, digits);
    number[digits] = '\0';
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(text + digits, units[i].name) != 0)
            continue;
        if (!number32_parse(number, UINT32_MAX / units[i].milliseconds, &value) || value == 0)
            return false;
        *milliseconds = value * units[i].milliseconds;
        return true;
    }
    return false;
}

bool seconds_parse(const char *text, uint32_t *milliseconds) {
    uint32_t seconds;

    if (!number32_parse(text, UINT32_MAX / 1000, &seconds))
        return time_parse(text, milliseconds);
    *milliseconds = seconds * 1000;
    return seconds > 0;
}

struct words duration_text(uint64_t milliseconds) {
    unsigned long long seconds = milliseconds / 1000;
    struct words duration;
    char *text = duration.text;
    size_t size = sizeof(duration.text);

    if (seconds < 60)
        snprintf(text, size, "%llus", seconds);
    else if (seconds < 3600)
        snprintf(text, size, "%llum%02llus", seconds / 60, seconds % 60);
    else if (seconds < 86400)
        snprintf(text, size, "%lluh%02llum", seconds / 3600, seconds / 60 % 60);
    else
        snprintf(text, size, "%llud%02lluh", seconds / 86400, seconds / 3600 % 24);
    return duration;
}

struct words time_text(uint64_t milliseconds) {
    time_t seconds = milliseconds / 1000;
    struct words words = {""};
    struct tm local;
    char date[32], zone[8];

    if (!milliseconds || !localtime_r(&seconds, &local))
        return words;
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &local);
    strftime(zone, sizeof(zone), "%z", &local);
    snprintf(words.text, sizeof(words.text), "%s.%03u%.3s:%s", date,
             (unsigned)(milliseconds % 1000), zone, zone + 3);
    return words;
}

struct words pid_text(pid_t pid) {
    struct words words = {"-"};

    if (pid > 0)
        snprintf(words.text, sizeof(words.text), "%d", (int)pid);
    return words;
}

struct words device_text(dev_t device) {
    struct words words;

    snprintf(words.text, sizeof(words.text), "%u:%u", major(device), minor(device));
    return words;
}

const char *type_word(mode_t type) {
    return S_ISREG(type)    ? "regular"
           : S_ISBLK(type)  ? "block"
           : S_ISCHR(type)  ? "character"
           : S_ISFIFO(type) ? "fifo"
           : S_ISSOCK(type) ? "socket"
                            : NULL;
}

const char *mode_word(int flags) {
    static const char *const words[] = {[O_RDONLY] = "read-only",
                                        [O_WRONLY] = "write-only",
                                        [O_RDWR] = "read-write",
                                        [O_ACCMODE] = "unknown"};

    return words[flags & O_ACCMODE];
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

    if (index >= sizeof(words) / sizeof(words[0]))
        return NULL;
    int bits = words[index].bits;
    *is_set = (flags & bits) == bits;
    /* O_SYNC is O_DSYNC and one bit more: then it is not also "dsync". */
    if (bits == O_DSYNC && (flags & O_SYNC) == O_SYNC)
        *is_set = false;
    return words[index].word;
}

void words_append(struct words *words, const char *word) {
    size_t length = strlen(words->text);
    snprintf(words->text + length, sizeof(words->text) - length, "%s%s", length ? "," : "", word);
}

const char *word_next(const char *word) {
    word = strchr(word, ',');
    return word ? word + 1 : NULL;
}

bool word_is(const char *name, const char *word) {
    size_t length = strcspn(word, ",");

    return strlen(name) == length && strncasecmp(name, word, length) == 0;
}

struct words flags_words(int flags) {
    struct words words = {""};
    const char *word;
    bool is_set;

    for (size_t i = 0; (word = flag_word(i, flags, &is_set)); i++)
        if (is_set)
            words_append(&words, word);
    return words;
}

struct words member_words(const struct fdset_member_info *member) {
    struct words words = flags_words(member->flags);

    if (member->sharing != FDSET_SHARING_DEFAULT)
        words_append(&words, sharing_word(member->sharing));
    if (member->serves_read_only)
        words_append(&words, "serves-read-only");
    if (member->keep_content)
        words_append(&words, "keep-content");
    if (member->keep_locks)
        words_append(&words, "keep-locks");
    return words;
}

static const char *const lifetimes[] = {
    [FDSET_CONNECTION] = "connection",
    [FDSET_KEEP] = "keep",
    [FDSET_ONCE] = "once",
    [FDSET_IDLE] = "idle",
};
#define LIFETIME_COUNT (sizeof(lifetimes) / sizeof(lifetimes[0]))

bool lifetime_parse(const char *text, enum fdset_lifetime *lifetime) {
    for (size_t i = FDSET_CONNECTION; i < LIFETIME_COUNT; i++) {
        if (strcmp(text, lifetimes[i]))
            continue;
        *lifetime = (enum fdset_lifetime)i;
        return true;
    }
    return false;
}

const char *lifetime_word(enum fdset_lifetime lifetime) {
    size_t index = lifetime;

    return index >= FDSET_CONNECTION && index < LIFETIME_COUNT ? lifetimes[index] : "unknown";
}

const char *state_word(enum fdset_member_state state) {
    return state == FDSET_MEMBER_LISTED     ? "listed"
           : state == FDSET_MEMBER_REMOVED  ? "removed"
           : state == FDSET_MEMBER_SETTLING ? "settling"
           : state == FDSET_MEMBER_CLOSING  ? "closing"
                                            : "unknown";
}

const char *sharing_word(enum fdset_sharing sharing) {
    return sharing == FDSET_EXCLUSIVE ? "exclusive"
           : sharing == FDSET_SHARED  ? "shared"
                                      : "default";
}

const char *code_word(int code) {
    static const char *const words[] = {
        [1] = "protocol", [2] = "role",       [3] = "descriptors", [4] = "argument",
        [5] = "limit",    [10] = "path",      [11] = "no-set",     [12] = "empty-set",
        [13] = "mode",    [14] = "sync",      [15] = "busy",       [16] = "flags",
        [20] = "bad-fd",  [21] = "file-type", [22] = "other-file", [23] = "lifetime",
        [24] = "name",    [30] = "no-member",
    };

    if (code < 0 || (size_t)code >= sizeof(words) / sizeof(words[0]) || !words[code])
        return "unknown";
    return words[code];
}

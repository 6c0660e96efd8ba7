/* SPDX-License-Identifier: MIT */
#include "wrapper.h"

#include <errno.h>
#include <fcntl.h>
#include <fdset/manager.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As QEMU reads numbers: decimal, octal, hexadecimal. -1 for none. */
static long long number_read(const struct pairs *pairs, const char *key, const char *option) {
    const char *text = pairs_get(pairs, key);
    char *end;

    if (!text)
        return -1;
    errno = 0;
    long long number = strtoll(text, &end, 0);
    if (errno || end == text || *end)
        die("-add-fd %s: Parameter '%s' expects a number", option, key);
    return number;
}

static void keys_check(const struct pairs *pairs, const char *option) {
    for (size_t i = 0; i < pairs->count; i++) {
        const char *key = pairs->items[i].key;
        if (strcmp(key, "fd") && strcmp(key, "set") && strcmp(key, "opaque"))
            die("-add-fd %s: Invalid parameter '%s'", option, key);
    }
}

/* QEMU's rules, in its words. Close-on-exec would have closed what we were meant
 * to inherit: such a descriptor is one of our own. */
static struct member_option member_parse(const char *option) {
    struct pairs pairs;

    pairs_parse(&pairs, option, NULL);
    keys_check(&pairs, option);
    long long fd = number_read(&pairs, "fd", option);
    long long set = number_read(&pairs, "set", option);
    if (fd < 0 || fd > INT_MAX)
        die("-add-fd %s: fd option is required and must be non-negative", option);
    if (fd <= STDERR_FILENO)
        die("-add-fd %s: fd cannot be a standard I/O stream", option);
    int flags = fcntl((int)fd, F_GETFD);
    if (flags < 0 || (flags & FD_CLOEXEC))
        die("-add-fd %s: fd is not valid or already in use", option);
    if (set < 0 || set > INT_MAX)
        die("-add-fd %s: set option is required and must be from 0 to %d", option, INT_MAX);
    const char *opaque = pairs_get(&pairs, "opaque");
    if (opaque && strlen(opaque) > FDSET_MAX_OPAQUE_BYTES)
        die("-add-fd %s: opaque has %zu bytes, and may have %d", option, strlen(opaque),
            FDSET_MAX_OPAQUE_BYTES);
    return (struct member_option){(int)fd, (int)set, opaque};
}

void members_read(struct members *members, struct command_line *line) {
    members->items = memory_take(line->count, sizeof(*members->items));
    members->count = 0;
    for (size_t i = 0; i < line->count; i++) {
        if (!word_is_of(&line->words[i], "add-fd"))
            continue;
        members->items[members->count++] = member_parse(line->words[i].text);
        command_line_drop(line, i);
    }
}

/* All that go into the set of the member at `first`, in their order. Removed
 * only by command, whoever hangs up; and of whatever files, as in QEMU. */
static struct fdset_add set_gather(const struct members *members, size_t first) {
    struct fdset_add add = {
        .set = members->items[first].set,
        .lifetime = FDSET_KEEP,
        .mixed = true,
        .members = memory_take(members->count, sizeof(struct fdset_member)),
    };

    for (size_t i = first; i < members->count; i++)
        if (members->items[i].set == add.set)
            add.members[add.member_count++] = (struct fdset_member){
                .fd = members->items[i].fd,
                .opaque = members->items[i].opaque,
            };
    return add;
}

static bool is_first_of_set(const struct members *members, size_t index) {
    for (size_t i = 0; i < index; i++)
        if (members->items[i].set == members->items[index].set)
            return false;
    return true;
}

void members_hand_over(struct members *members, struct fdset_manager *manager) {
    for (size_t i = 0; i < members->count; i++) {
        if (!is_first_of_set(members, i))
            continue;
        struct fdset_add add = set_gather(members, i);
        if (fdset_add_fds(manager, &add, 1) < 0)
            die("-add-fd for set %d: %s", add.set, fdset_error_text());
    }
    /* The same one may be in two sets. */
    for (size_t i = 0; i < members->count; i++)
        close(members->items[i].fd);
}

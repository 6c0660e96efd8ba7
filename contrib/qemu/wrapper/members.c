/* SPDX-License-Identifier: MIT */
/* -add-fd, read and handed over. */
#include "members.h"

#include <fdset/manager.h>
#include <unistd.h>

#include "command-line.h"
#include "common/memory.h"
#include "common/say.h"

void members_read(struct members *members, struct command_line *line) {
    members->items = xcalloc(line->count, sizeof(*members->items));
    members->count = 0;
    for (size_t i = 0; i < line->count; i++) {
        if (!word_is_of(&line->words[i], "add-fd"))
            continue;
        char *text = xstrdup(line->words[i].text), why[ADD_FD_WHY_BYTES];
        if (!add_fd_parse(&members->items[members->count++], text, ADD_FD_ANY_BASE, why))
            die("-add-fd %s: %s", line->words[i].text, why);
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
        .members = xcalloc(members->count, sizeof(struct fdset_member)),
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

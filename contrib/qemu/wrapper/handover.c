/* SPDX-License-Identifier: MIT */
/* Makes members of the helper's, and portals for QEMU. */
#include "handover.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/descriptors.h"
#include "common/memory.h"
#include "common/say.h"
#include "joint/portal.h"
#include "name.h"

/* "5=900 5=901": QEMU makes its members by duplicating what its command line names, and then the
 * library gives it these. */
static void portal_note(struct add_fds *adds, int number, int portal) {
    const char *told = adds->told;

    fd_inherit(portal);
    adds->told = xasprintf("%s%s%d=%d", told ? told : "", told ? " " : "", number, portal);
}

static int portal_new(int flags, bool hidden) {
    int portal = portal_make(flags, hidden);

    errno = portal < 0 ? -portal : 0;
    return fd_move_high(portal, "a file in memory");
}

static void bind_or_die(int portal, int set, uint32_t member) {
    int error = portal_bind(portal, set, member);

    if (error < 0)
        die("a portal: %s", strerror(-error));
    close(portal);
}

/* ------------------------------------------------------------------- members */

void add_fds_read(struct add_fds *adds, const struct command_line *line) {
    char why[ADD_FD_WHY_BYTES];

    adds->count = line->member_count;
    adds->items = xcalloc(adds->count, sizeof(*adds->items));
    adds->portals = xcalloc(adds->count, sizeof(*adds->portals));
    for (size_t i = 0; i < adds->count; i++) {
        struct add_fd *add = &adds->items[i];
        if (!add_fd_parse(add, xstrdup(line->members[i]), ADD_FD_ANY_BASE, why))
            die("-add-fd %s: %s", line->members[i], why);
        adds->portals[i] = portal_new(fcntl(add->fd, F_GETFL), false);
        portal_note(adds, add->fd, adds->portals[i]);
    }
}

/* All from `first` on that go into its set, in their order. Removed only by command, whoever
 * hangs up; and of whatever files, as in QEMU. */
static void set_hand_over(const struct add_fds *adds, size_t first, bool *taken,
                          struct fdset_manager *manager) {
    struct fdset_add set = {.set = adds->items[first].set,
                            .lifetime = FDSET_KEEP,
                            .mixed = true,
                            .members = xcalloc(adds->count, sizeof(struct fdset_member))};
    size_t *which = xcalloc(adds->count, sizeof(*which));

    for (size_t i = first; i < adds->count; i++) {
        if (adds->items[i].set != set.set)
            continue;
        taken[i] = true;
        which[set.member_count] = i;
        set.members[set.member_count++] =
            (struct fdset_member){.fd = adds->items[i].fd, .opaque = adds->items[i].opaque};
    }
    if (fdset_add_fds(manager, &set, 1) < 0)
        die("-add-fd for set %d: %s", set.set, fdset_error_text());
    for (size_t k = 0; k < set.member_count; k++) {
        bind_or_die(adds->portals[which[k]], set.set, set.members[k].id);
        close(set.members[k].fd);
    }
    free(which);
    free(set.members);
}

void add_fds_hand_over(const struct add_fds *adds, struct fdset_manager *manager) {
    bool *taken = xcalloc(adds->count, sizeof(*taken));

    for (size_t i = 0; i < adds->count; i++)
        if (!taken[i])
            set_hand_over(adds, i, taken, manager);
    free(taken);
}

/* The same one may be in two sets. */
void add_fds_leave(const struct add_fds *adds) {
    for (size_t i = 0; i < adds->count; i++)
        if (dup2(adds->portals[i], adds->items[i].fd) < 0)
            die("a portal: %s", strerror(errno));
}

/* -------------------------------------------------------------------- hidden */

/* QEMU takes the newest that fits, and up to 9.0 does not look at O_DIRECT. */
static void hidden_add(struct add_fds *adds, struct command_line *line, long set) {
    static const int flags[] = {O_RDONLY | O_DIRECT, O_RDWR | O_DIRECT, O_RDONLY, O_RDWR};

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        int portal = portal_new(flags[i], true), place = fcntl(portal, F_DUPFD, portal);
        if (place < 0)
            die("a portal: %s", strerror(errno));
        bind_or_die(fcntl(portal, F_DUPFD_CLOEXEC, portal), (int)set, 0);
        portal_note(adds, place, portal);
        command_line_add(line, "add-fd", xasprintf("fd=%d,set=%ld,opaque=unlabelled", place, set));
    }
}

void add_fds_hidden(struct add_fds *adds, struct command_line *line) {
    size_t count = line->count, known_count = 0;
    long *known = NULL;

    for (size_t i = 1; i < count; i++) {
        const char *at = line->words[i].text;
        while ((at = strstr(at, SET_PATH_PREFIX))) {
            at += strlen(SET_PATH_PREFIX);
            char *end;
            long set = strtol(at, &end, 10);
            bool is_new = end > at && set >= 0 && set <= INT_MAX;
            for (size_t k = 0; k < known_count && is_new; k++)
                is_new = known[k] != set;
            if (!is_new)
                continue;
            known = xreallocarray(known, known_count + 1, sizeof(*known));
            known[known_count++] = set;
            hidden_add(adds, line, set);
        }
    }
    free(known);
}

/* SPDX-License-Identifier: MIT */
/* --add-fd, with QEMU's constraints and, where they are as clear, its words (system/vl.c). */
#include "start/add_fd.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "duplicates.h"
#include "requests/add_remove.h"
#include "start/descriptors.h"
#include "start/log.h"
#include "start/usage.h"

/* Cuts the next "key=value" off `*text`, undoubling commas in place. */
static bool next_pair(char **text, char **key, char **value) {
    char *from = *text, *to;

    if (!from || !*from)
        return false;
    *key = from;
    *value = NULL;
    for (to = from; *from && !(from[0] == ',' && from[1] != ','); from++, to++) {
        if (*from == ',')
            from++;
        *to = *from;
        if (*to == '=' && !*value) {
            *to = '\0';
            *value = to + 1;
        }
    }
    *text = *from ? from + 1 : NULL;
    *to = '\0';
    return true;
}

void option_add_fd(struct start_options *options, const char *option, enum role role, char *text) {
    struct add_fd add = {.fd = -1};
    uint64_t fd = UINT64_MAX, set = UINT64_MAX;
    char *key, *value;

    while (next_pair(&text, &key, &value)) {
        if (!value)
            usage_die("--add-fd: '%s' has no value: expected fd=N,set=M[,opaque=S]", key);
        if (strcmp(key, "opaque") == 0)
            add.opaque = value;
        else if (strcmp(key, "fd") != 0 && strcmp(key, "set") != 0)
            usage_die("--add-fd: invalid parameter '%s': expected fd, set or opaque", key);
        else if (value[0] != '-' && !usage_parse(value, INT64_MAX, key[0] == 'f' ? &fd : &set))
            usage_die("--add-fd: parameter '%s' expects a number", key);
    }
    if (fd > INT_MAX)
        usage_die("--add-fd: fd option is required and must be non-negative");
    if (fd <= STDERR_FILENO)
        usage_die("--add-fd: fd cannot be a standard I/O stream");
    if (set > INT_MAX)
        usage_die("--add-fd: set option is required and must be from 0 to %d", INT_MAX);
    if (add.opaque && strlen(add.opaque) > FDSET_MAX_OPAQUE_BYTES)
        usage_die("--add-fd: opaque has at most %d bytes", FDSET_MAX_OPAQUE_BYTES);
    if (!is_inherited((int)fd))
        usage_die("--add-fd: fd %d is not valid or already in use", (int)fd);
    if (options->add_fd_count == FDSET_MAX_DESCRIPTORS)
        usage_die("--add-fd: at most %d", FDSET_MAX_DESCRIPTORS);
    add.fd = (int)fd;
    add.set = (uint32_t)set;
    options->add_fds[options->add_fd_count++] = add;
}

static void check_duplicates(const struct start_options *options) {
    const struct add_fd *all = options->add_fds;
    int fds[FDSET_MAX_DESCRIPTORS];
    size_t one, other;

    for (size_t i = 0; i < options->add_fd_count; i++)
        fds[i] = all[i].fd;
    if (duplicates_find(fds, options->add_fd_count, &one, &other))
        log_die(
            "--add-fd: descriptors %d, for set %u, and %d, for set %u, are one open file, which "
            "would share flags and locks: open the file once for each",
            fds[one], all[one].set, fds[other], all[other].set);
}

void add_fds(struct service *service, const struct start_options *options) {
    struct refusal refusal;

    check_duplicates(options);
    for (size_t i = 0; i < options->add_fd_count; i++) {
        const struct add_fd *add = &options->add_fds[i];
        int fd = inherited_take(add->fd, "--add-fd");
        if (service_add_initial(service, fd, add->set, add->opaque, &refusal) < 0)
            log_die("--add-fd: %s", refusal.text);
    }
}

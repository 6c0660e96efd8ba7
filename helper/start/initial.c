/* SPDX-License-Identifier: MIT */
/* --add-fd: members that the helper begins with. */
#include "start/descriptors.h"

#include "duplicates.h"
#include "requests/add_remove.h"
#include "start/log.h"
#include "start/usage.h"

void option_add_fd(struct start_options *options, const struct option_row *row, char *text) {
    char why[ADD_FD_WHY_BYTES];

    if (options->add_fd_count == FDSET_MAX_DESCRIPTORS)
        usage_die("--add-fd: at most %d", FDSET_MAX_DESCRIPTORS);
    if (!add_fd_parse(&options->add_fds[options->add_fd_count++], text, ADD_FD_FOR, why))
        usage_die("--add-fd: %s", why);
}

static void check_duplicates(const struct start_options *options) {
    const struct add_fd *all = options->add_fds;
    int fds[FDSET_MAX_DESCRIPTORS];
    size_t one, other;

    for (size_t i = 0; i < options->add_fd_count; i++)
        fds[i] = all[i].fd;
    if (duplicates_find(fds, options->add_fd_count, &one, &other))
        log_die(
            "--add-fd: descriptors %d, for set %d, and %d, for set %d, are one open file, which "
            "would share flags and locks: open the file once for each",
            fds[one], all[one].set, fds[other], all[other].set);
}

static const struct endpoint *endpoint_of(const struct service *service, const struct add_fd *add) {
    const struct endpoints *endpoints = &service->model.endpoints;
    const struct endpoint *endpoint =
        add->endpoint ? endpoints_find(endpoints, add->endpoint) : NULL;
    char names[240];

    if (add->endpoint && !endpoint)
        log_die("--add-fd: for=%s: no VMM socket is called so, there are %s", add->endpoint,
                endpoints_names(endpoints, names, sizeof(names)));
    return endpoint;
}

void add_fds(struct service *service, const struct start_options *options) {
    struct refusal refusal;

    check_duplicates(options);
    for (size_t i = 0; i < options->add_fd_count; i++) {
        const struct add_fd *add = &options->add_fds[i];
        int fd = inherited_take(add->fd, "--add-fd");
        if (service_add_initial(service, fd, (uint32_t)add->set, add->opaque,
                                endpoint_of(service, add), &refusal) < 0)
            log_die("--add-fd: %s", refusal.text);
    }
}

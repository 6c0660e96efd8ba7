/* SPDX-License-Identifier: MIT */
/* Inherited descriptors, of which some become members, and RLIMIT_NOFILE, which is brought into
 * line with the limits. */
#include "start/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "duplicates.h"
#include "requests/add_remove.h"
#include "start/log.h"
#include "start/usage.h"

int inherited_take(int fd, const char *what) {
    int taken = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

    if (taken < 0)
        log_die("%s: %s", what, strerror(errno));
    return taken;
}

/* What the limits have no part in. */
static size_t fixed(const struct start_options *options) {
    return FIXED_DESCRIPTORS + 2 * options->socket_count;
}

static size_t wanted_for(const struct start_options *options) {
    return fixed(options) + options->limits.members + options->limits.connections;
}

/* The kernel sends descriptors only while no more of the user's are in flight than the sender's
 * limit allows, those of other helpers included. So the limit stays as high as it may be, and
 * half of it is for one helper. */
static void fit_in_flight(struct start_options *options) {
    size_t each = options->descriptors / 2 / (options->endpoint_count + 1);

    if (each < options->limits.in_flight)
        options->limits.in_flight =
            each < FDSET_MAX_DESCRIPTORS ? FDSET_MAX_DESCRIPTORS : (uint32_t)each;
}

size_t descriptors_spare(const struct start_options *options) {
    size_t wanted = wanted_for(options);
    return options->descriptors > wanted ? options->descriptors - wanted : 0;
}

static void fit_limits(struct start_options *options, size_t allowed) {
    size_t wanted = wanted_for(options);
    size_t fewest = fixed(options) + LIMITS_FEWEST;
    bool members_asked = options->asked.members > 0;
    bool connections_asked = options->asked.connections > 0;
    bool asked = members_asked || connections_asked;
    struct limits lower = options->limits;
    size_t left = allowed > fixed(options) ? allowed - fixed(options) : 0;
    if (!limits_fit(&lower, left, members_asked, connections_asked))
        log_die("%zu descriptors are needed%s and the system allows %zu: raise 'ulimit -Hn' "
                "(LimitNOFILE=)%s",
                asked ? wanted : fewest, asked ? " for these limits" : " at least", allowed,
                asked && allowed >= fewest ? ", or lower --limit members and --limit connections"
                                           : "");
    lower.descriptors = (uint32_t)allowed;
    options->limits = lower;
}

void descriptors_fit(struct start_options *options) {
    size_t wanted = wanted_for(options);
    struct rlimit limit, more = {wanted, wanted};

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        log_die("getrlimit: %s", strerror(errno));
    options->descriptors = limit.rlim_max;
    if (limit.rlim_max < wanted) {
        if (setrlimit(RLIMIT_NOFILE, &more) == 0)
            options->descriptors = wanted;
        else
            fit_limits(options, limit.rlim_max);
    }
    fit_in_flight(options);
}

/* ------------------------------------------------------------------- --add-fd */

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

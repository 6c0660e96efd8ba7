/* SPDX-License-Identifier: MIT */
/* Inherited descriptors, and RLIMIT_NOFILE, which is brought into line with the limits. */
#include "start/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "start/log.h"

int inherited_take(int fd, const char *what) {
    int taken = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

    if (taken < 0)
        log_die("%s: %s", what, strerror(errno));
    return taken;
}

size_t descriptors_wanted(const struct limits *limits) {
    return FIXED_DESCRIPTORS + (size_t)limits->members + limits->connections;
}

void descriptors_fit(struct start_options *options) {
    size_t wanted = descriptors_wanted(&options->limits);
    size_t fewest = FIXED_DESCRIPTORS + LIMITS_FEWEST;
    bool given = options->members_given || options->connections_given;
    struct rlimit limit, more = {wanted, wanted};
    struct limits lower = options->limits;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        log_die("getrlimit: %s", strerror(errno));
    if (limit.rlim_max >= wanted || setrlimit(RLIMIT_NOFILE, &more) == 0)
        return;
    size_t allowed = limit.rlim_max;
    size_t left = allowed > FIXED_DESCRIPTORS ? allowed - FIXED_DESCRIPTORS : 0;
    if (!limits_fit(&lower, left, options->members_given, options->connections_given))
        log_die("%zu descriptors are needed%s and the system allows %zu: raise 'ulimit -Hn' "
                "(LimitNOFILE=)%s",
                given ? wanted : fewest, given ? " for these limits" : " at least", allowed,
                given && allowed >= fewest ? ", or lower --limit members and --limit connections"
                                           : "");
    lower.descriptors = (uint32_t)allowed;
    options->limits = lower;
}

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

/* What the limits have no part in. */
static size_t fixed(const struct start_options *options) {
    return FIXED_DESCRIPTORS + options->socket_count;
}

size_t descriptors_wanted(const struct start_options *options) {
    return fixed(options) + options->limits.members + options->limits.connections;
}

void descriptors_fit(struct start_options *options) {
    size_t wanted = descriptors_wanted(options);
    size_t fewest = fixed(options) + LIMITS_FEWEST;
    bool members_asked = options->asked.members > 0;
    bool connections_asked = options->asked.connections > 0;
    bool asked = members_asked || connections_asked;
    struct rlimit limit, more = {wanted, wanted};
    struct limits lower = options->limits;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        log_die("getrlimit: %s", strerror(errno));
    if (limit.rlim_max >= wanted || setrlimit(RLIMIT_NOFILE, &more) == 0)
        return;
    size_t allowed = limit.rlim_max;
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

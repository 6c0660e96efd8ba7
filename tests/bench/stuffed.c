/* SPDX-License-Identifier: MIT */
/* Linked into a helper for the benchmark: it holds so many members that there need
 * not be as many descriptors, which not even root may have everywhere. Its initial
 * member is added as often as FDSET_BENCH_STUFFED says, to as many sets, and all have
 * the one descriptor. Whatever the helper itself does is as it would be. */
#include <stdlib.h>
#include <sys/resource.h>

#include "confine/confine.h"
#include "requests/add_remove.h"

static struct service *the_service;
static int the_fd;
static uint32_t the_set;

int __real_service_add_initial(struct service *service, int fd, uint32_t set, const char *opaque,
                               struct refusal *refusal);
int __wrap_service_add_initial(struct service *service, int fd, uint32_t set, const char *opaque,
                               struct refusal *refusal);
int __real_confine_seal(const struct confine_plan *plan, struct confine_report *report);
int __wrap_confine_seal(const struct confine_plan *plan, struct confine_report *report);
int __real_setrlimit64(__rlimit_resource_t resource, const struct rlimit *limit);
int __wrap_setrlimit64(__rlimit_resource_t resource, const struct rlimit *limit);

int __wrap_service_add_initial(struct service *service, int fd, uint32_t set, const char *opaque,
                               struct refusal *refusal) {
    the_service = service;
    the_fd = fd;
    the_set = set;
    return __real_service_add_initial(service, fd, set, opaque, refusal);
}

/* Not before, as the sandbox wants to know of each descriptor once. */
int __wrap_confine_seal(const struct confine_plan *plan, struct confine_report *report) {
    const char *wanted = getenv("FDSET_BENCH_STUFFED");
    uint32_t count = wanted ? (uint32_t)strtoul(wanted, NULL, 10) : 1;
    struct refusal refusal;

    for (uint32_t i = 1; the_service && i < count; i++)
        if (__real_service_add_initial(the_service, the_fd, the_set + i, NULL, &refusal) < 0)
            return -1;
    return __real_confine_seal(plan, report);
}

/* As many descriptors as there may be are enough. */
int __wrap_setrlimit64(__rlimit_resource_t resource, const struct rlimit *limit) {
    struct rlimit less = *limit, most;
    if (resource == RLIMIT_NOFILE && getrlimit(resource, &most) == 0 &&
        less.rlim_max > most.rlim_max)
        less = (struct rlimit){most.rlim_max, most.rlim_max};
    return __real_setrlimit64(resource, &less);
}

/* SPDX-License-Identifier: MIT */
/* What the helper takes of memory that is its own alone. */
#include <err.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crowd.h"
#include "floor.h"
#include "groups.h"
#include "ours.h"

#define MEMBERS_A_SET  250
#define SETS           15
#define LEASES         7500
#define LEASES_AT_ONCE 250

/* What this process may have open besides. */
#define OTHER_DESCRIPTORS 600

/* Bytes, from smaps_rollup; only root may look. NAN where we may not. `what`:
 * Anonymous, what no other process has and no file; Private_Clean and Private_Dirty,
 * that and pages of the programs that no other process happens to have now. */
static double private_bytes(pid_t pid, const char *what) {
    char path[64], line[128], name[64];
    double kib, total = NAN;
    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "%63[^:]: %lf kB", name, &kib) == 2 && strcmp(name, what) == 0)
            total = kib * 1024;
    if (file)
        fclose(file);
    return total;
}

static double own_bytes(const struct crowd *crowd) {
    return private_bytes(fdset_vmm_helper_pid(crowd->vmm), "Anonymous");
}

/* Adds what one AddFds can hold, all to one set, each an open of its own. */
static void add_members(struct crowd *crowd, int set) {
    struct fdset_member members[MEMBERS_A_SET];
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", crowd->fd);
    for (size_t i = 0; i < MEMBERS_A_SET; i++)
        members[i] = (struct fdset_member){.fd = open(path, O_RDWR | O_CLOEXEC)};
    struct fdset_add add = {
        .set = set, .lifetime = FDSET_KEEP, .members = members, .member_count = MEMBERS_A_SET};
    if (fdset_add_fds(crowd->manager, &add, 1) < 0)
        errx(1, "add: %s", fdset_error_text());
    for (size_t i = 0; i < MEMBERS_A_SET; i++)
        close(members[i].fd);
}

/* All stay open, or the library would tell the helper of those that are not. */
static size_t open_leases(struct crowd *crowd, int *descriptors, size_t most) {
    struct fdset_open_request requests[LEASES_AT_ONCE];
    struct rlimit limit;
    size_t done = 0;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    for (size_t i = 0; i < LEASES_AT_ONCE; i++)
        requests[i] =
            (struct fdset_open_request){.path = "/dev/fdset/0", .flags = O_RDWR | O_CLOEXEC};
    for (; done < most && done + OTHER_DESCRIPTORS < limit.rlim_max; done += LEASES_AT_ONCE) {
        if (fdset_open_many(crowd->vmm, requests, LEASES_AT_ONCE) != LEASES_AT_ONCE)
            errx(1, "open_many: %s", fdset_error_text());
        for (size_t i = 0; i < LEASES_AT_ONCE; i++)
            descriptors[done + i] = requests[i].fd;
    }
    return done;
}

void bench_memory(struct report *report) {
    static int descriptors[LEASES_AT_ONCE + LEASES];
    struct chain chain;
    struct crowd crowd;
    chain_make(&chain, 1);
    crowd_start_empty(&crowd, chain.descriptors[0]);
    double idle = own_bytes(&crowd);
    double whole = private_bytes(fdset_vmm_helper_pid(crowd.vmm), "Private_Clean") +
                   private_bytes(fdset_vmm_helper_pid(crowd.vmm), "Private_Dirty");

    /* The first of everything brings in pages that are there for good. */
    add_members(&crowd, 0);
    double before = own_bytes(&crowd);
    for (int set = 1; set <= SETS; set++)
        add_members(&crowd, set);
    crowd_settle_down(&crowd, SETS);
    double member = (own_bytes(&crowd) - before) / (SETS * MEMBERS_A_SET);
    size_t first = open_leases(&crowd, descriptors, LEASES_AT_ONCE);
    before = own_bytes(&crowd);
    size_t leases = open_leases(&crowd, descriptors + first, LEASES);
    double lease = (own_bytes(&crowd) - before) / (double)leases;
    close_all(descriptors, first + leases);
    crowd_stop(&crowd);
    chain_remove(&chain);

    const char *note = isnan(idle) ? "only root may look" : NULL;
    report_group(report, "memory", "Memory of the helper's own");
    report_figure(report, "idle, anonymous", idle, "bytes");
    report_figure(report, "idle, and of files that nobody else has now", whole, "bytes");
    report_figure(report, "a member", member, "bytes");
    report_figure(report, "a lease", lease, "bytes");
    report_target(report, "private_idle_bytes", idle, 300 * 1024, false, note);
    report_target(report, "bytes_per_member", member, 128, false, note);
    report_target(report, "bytes_per_lease", lease, 96, false, note);
}

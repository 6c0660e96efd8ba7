/* SPDX-License-Identifier: MIT */
/* A helper with thousands of members in it, made for the benchmarks: see crowd.h. */
#include "crowd.h"

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ours.h"
#include "series.h"

#define AT_ONCE 250 /* sets in one AddFds */

/* What is removed counts until it is closed, for which there is no haste. */
#define SPARE 1000

static void start(struct crowd *crowd, const char *helper, size_t initial_count) {
    char sets[32], members[32];
    int ends[2];
    struct fdset_initial initial = {.fd = crowd->fd, .set = 0};
    snprintf(sets, sizeof(sets), "sets=%zu", crowd->held + SPARE);
    snprintf(members, sizeof(members), "members=%zu", crowd->held + SPARE);
    /* An empty one with its usual limits. */
    const char *limits[] = {"--limit", sets, "--limit", members, NULL};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        err(1, "socketpair");
    struct fdset_spawn_options options = {.helper = helper,
                                          .manage_fd = ends[1],
                                          .initial = &initial,
                                          .initial_count = initial_count,
                                          .arguments = crowd->held ? limits : NULL};
    if (fdset_vmm_spawn(&crowd->vmm, &options) < 0 ||
        fdset_manager_attach_fd(&crowd->manager, ends[0], NULL) < 0)
        errx(1, "a helper for %zu members: %s", crowd->held, fdset_error_text());
    close(ends[1]);
}

static void fill(struct crowd *crowd) {
    struct fdset_member members[AT_ONCE];
    struct fdset_add adds[AT_ONCE];
    for (size_t done = 0, now; done < crowd->held; done += now) {
        now = crowd->held - done < AT_ONCE ? crowd->held - done : AT_ONCE;
        for (size_t i = 0; i < now; i++) {
            members[i] = (struct fdset_member){.fd = open_anew(crowd->fd)};
            adds[i] = (struct fdset_add){.set = (int)(done + i),
                                         .lifetime = FDSET_KEEP,
                                         .members = &members[i],
                                         .member_count = 1};
        }
        if (fdset_add_fds(crowd->manager, adds, now) < 0)
            errx(1, "add: %s", fdset_error_text());
        for (size_t i = 0; i < now; i++)
            close(members[i].fd);
    }
}

/* An open of what was added last waits for the close before it, and that for what
 * is done on one thread for one member after the other. */
void crowd_settle_down(struct crowd *crowd, size_t last_set) {
    char path[SET_PATH_BYTES];
    set_path(last_set, path);
    for (int i = 0; i < 2; i++) {
        int fd = fdset_open(crowd->vmm, path, O_RDWR | O_CLOEXEC);
        if (fd < 0)
            errx(1, "%s: %s", path, fdset_error_text());
        ours_close_all(crowd->vmm, &fd, 1);
    }
}

void crowd_start_empty(struct crowd *crowd, int fd) {
    *crowd = (struct crowd){.fd = fd};
    start(crowd, NULL, 0);
}

void crowd_start(struct crowd *crowd, int fd, size_t held) {
    *crowd = (struct crowd){.held = held, .fd = fd};
    start(crowd, NULL, 0);
    fill(crowd);
    crowd_settle_down(crowd, crowd->held - 1);
}

void crowd_start_stuffed(struct crowd *crowd, const char *helper, int fd, size_t held) {
    char number[24];
    *crowd = (struct crowd){.held = held, .fd = fd};
    snprintf(number, sizeof(number), "%zu", held);
    setenv("FDSET_BENCH_STUFFED", number, 1);
    start(crowd, helper, 1);
    crowd_settle_down(crowd, crowd->held - 1);
}

void crowd_stop(struct crowd *crowd) {
    fdset_manager_free(crowd->manager);
    fdset_vmm_free(crowd->vmm);
}

/* ------------------------------------------------------------ measurements */

void measure_crowd_open(struct contender *contender, double *samples, size_t count) {
    struct crowd *crowd = contender->context;
    int *descriptors = calloc(count, sizeof(*descriptors));
    char path[SET_PATH_BYTES];
    if (!descriptors)
        err(1, "calloc");
    for (size_t i = 0; i < count; i++) {
        set_path(scattered(i, crowd->held), path);
        double start = now_us();
        descriptors[i] = fdset_open(crowd->vmm, path, O_RDWR | O_CLOEXEC);
        samples[i] = now_us() - start;
        if (descriptors[i] < 0)
            errx(1, "%s: %s", path, fdset_error_text());
    }
    ours_close_all(crowd->vmm, descriptors, count);
    free(descriptors);
}

static double add_one(struct crowd *crowd, size_t set, bool replace) {
    struct fdset_member member = {.fd = crowd->fd};
    struct fdset_add add = {.set = (int)set,
                            .lifetime = FDSET_KEEP,
                            .members = &member,
                            .member_count = 1,
                            .replace = replace};
    double start = now_us();
    int error = fdset_add_fds(crowd->manager, &add, 1);
    double end = now_us();
    if (error < 0)
        errx(1, "add: %s", fdset_error_text());
    return end - start;
}

static double remove_one(struct crowd *crowd, size_t set) {
    double start = now_us();
    int removed = fdset_remove(crowd->manager, (int)set, 0);
    double end = now_us();
    if (removed != 1)
        errx(1, "remove: %s", fdset_error_text());
    return end - start;
}

void measure_add(struct contender *contender, double *samples, size_t count) {
    struct crowd *crowd = contender->context;
    for (size_t i = 0; i < count; i++) {
        samples[i] = add_one(crowd, crowd->held, false);
        remove_one(crowd, crowd->held);
    }
}

void measure_remove(struct contender *contender, double *samples, size_t count) {
    struct crowd *crowd = contender->context;
    for (size_t i = 0; i < count; i++) {
        add_one(crowd, crowd->held, false);
        samples[i] = remove_one(crowd, crowd->held);
    }
}

void measure_replace(struct contender *contender, double *samples, size_t count) {
    struct crowd *crowd = contender->context;
    for (size_t i = 0; i < count; i++)
        samples[i] = add_one(crowd, scattered(i, crowd->held), true);
}

void measure_query(struct contender *contender, double *samples, size_t count) {
    struct crowd *crowd = contender->context;
    for (size_t i = 0; i < count; i++) {
        struct fdset_listing *listing;
        double start = now_us();
        int error = fdset_query(crowd->manager, (int)scattered(i, crowd->held), &listing);
        samples[i] = now_us() - start;
        if (error < 0)
            errx(1, "query: %s", fdset_error_text());
        fdset_listing_free(listing);
    }
}

/* SPDX-License-Identifier: MIT */
/* Sizes: what costs more where much is held, here and at s6-fdholderd. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "crowd.h"
#include "floor.h"
#include "groups.h"
#include "peer.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Descriptors that a helper has beside its members. */
#define OTHER_DESCRIPTORS 1700

#define ROUNDS  40
#define SAMPLES 20

static const size_t sizes[] = {10, 1000, 10000, 12000, 100000};
enum { TEN, THOUSAND, TEN_THOUSAND, TWELVE_THOUSAND, HUNDRED_THOUSAND, SIZES };

static const struct {
    const char *name;
    void (*measure)(struct contender *, double *, size_t);
} actions[] = {{"open", measure_crowd_open},
               {"add", measure_add},
               {"replace", measure_replace},
               {"remove", measure_remove},
               {"query of one set", measure_query}};
enum { OPEN, ADD, ACTIONS = COUNT(actions) };

/* How many members one helper can have here; root may raise the limit first. */
static size_t most_members(void) {
    struct rlimit limit = {150000, 150000};
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0) {
        getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    return limit.rlim_cur - OTHER_DESCRIPTORS;
}

/* A contender of this group, named "what, N held". */
static void contender_fill(struct contender *contender, const char *what, size_t held,
                           void (*measure)(struct contender *, double *, size_t), void *context) {
    *contender = (struct contender){.measure = measure, .context = context};
    snprintf(contender->series.name, sizeof(contender->series.name), "%s, %zu held", what, held);
}

struct everybody {
    struct crowd crowds[SIZES], stuffed;
    struct peer peers[2];
    bool has_peers;
    const char *why_no_peers;
    struct floor bare;
};

static const size_t peer_sizes[] = {10, 12000};

static void start_all(struct everybody *all, int fd) {
    size_t most = most_members();
    for (size_t i = 0; i < SIZES; i++)
        crowd_start(&all->crowds[i], fd, sizes[i] < most ? sizes[i] : most);
    floor_start(&all->bare, fd);
    crowd_start_stuffed(&all->stuffed, STUFFED_HELPER, fd, sizes[SIZES - 1]);
    all->has_peers = peer_start(&all->peers[0], fd, peer_sizes[0], &all->why_no_peers);
    if (!all->has_peers)
        return;
    all->has_peers = peer_start(&all->peers[1], fd, peer_sizes[1], &all->why_no_peers);
    if (!all->has_peers)
        peer_stop(&all->peers[0]);
}

static void stop_all(struct everybody *all) {
    for (size_t i = 0; i < SIZES; i++)
        crowd_stop(&all->crowds[i]);
    crowd_stop(&all->stuffed);
    floor_stop(&all->bare);
    for (size_t i = 0; i < COUNT(all->peers) && all->has_peers; i++)
        peer_stop(&all->peers[i]);
}

/* One action of ours at all sizes, and the peer's of the same kind: the ratio is to
 * the first size. */
enum { STUFFED = SIZES, PEER_FEW, PEER_MANY, BARE, CONTENDERS };

static size_t compare(struct report *report, struct everybody *all, size_t action,
                      struct contender *contenders) {
    size_t count = SIZES;
    for (size_t i = 0; i < SIZES; i++)
        contender_fill(&contenders[i], actions[action].name, all->crowds[i].held,
                       actions[action].measure, &all->crowds[i]);
    if (action == OPEN || action == ADD) {
        contender_fill(&contenders[STUFFED], actions[action].name, all->stuffed.held,
                       actions[action].measure, &all->stuffed);
        strcat(contenders[STUFFED].series.name, " (stuffed)");
        count = STUFFED + 1;
        for (size_t i = 0; i < COUNT(peer_sizes) && all->has_peers; i++)
            contender_fill(
                &contenders[count++],
                action == OPEN ? "s6-fdholderd retrieve" : "s6-fdholderd store", peer_sizes[i],
                action == OPEN ? measure_peer_retrieve : measure_peer_store, &all->peers[i]);
    }
    if (action == OPEN && all->has_peers)
        contenders[count++] =
            (struct contender){{"floor A: bare server"}, measure_floor, &all->bare, 1};
    take_turns(contenders, count, rounds_of_group(ROUNDS), SAMPLES);
    for (size_t i = 0; i < count; i++)
        report_series(report, &contenders[i].series, i ? &contenders[0].series : NULL);
    return count;
}

static void report_open_targets(struct report *report, const struct everybody *all,
                                const struct contender *of) {
    char note[160];
    const char *no_peer = all->has_peers ? NULL : all->why_no_peers;
    size_t largest = all->crowds[HUNDRED_THOUSAND].held;
    double real = series_ratio(&of[HUNDRED_THOUSAND].series, &of[TEN].series);
    double stuffed = series_ratio(&of[STUFFED].series, &of[TEN].series);
    bool reached = largest == sizes[HUNDRED_THOUSAND];
    snprintf(note, sizeof(note),
             "100000 members sharing a descriptor; with %zu descriptors, as far as the limit "
             "(RLIMIT_NOFILE) goes: %.2f",
             largest, real);
    report_target(report, "open_100k_over_10", reached ? real : stuffed, 1.05, false,
                  reached ? NULL : note);
    report_target(report, "s6_retrieve_over_open_10",
                  no_peer ? NAN : series_ratio(&of[PEER_FEW].series, &of[TEN].series), 1.8, true,
                  no_peer);
    report_target(report, "s6_retrieve_over_open_12k",
                  no_peer ? NAN : series_ratio(&of[PEER_MANY].series, &of[TWELVE_THOUSAND].series),
                  8, true, no_peer);
    if (no_peer)
        return;
    report_bound(report, "s6_retrieve_over_open_10",
                 series_ratio(&of[PEER_FEW].series, &of[BARE].series), "by the bare server");
    report_bound(report, "s6_retrieve_over_open_12k",
                 series_ratio(&of[PEER_MANY].series, &of[BARE].series), "by the bare server");
}

void bench_crowds(struct report *report) {
    struct everybody all;
    struct contender contenders[CONTENDERS];
    struct chain chain;
    chain_make(&chain, 1);
    start_all(&all, chain.descriptors[0]);
    report_group(report, "held", "With so many members held, microseconds");
    for (size_t action = 0; action < ACTIONS; action++) {
        size_t count = compare(report, &all, action, contenders);
        if (action == OPEN) {
            report_open_targets(report, &all, contenders);
            report_noise(report, &contenders[TEN].series);
        }
        if (action == ADD)
            report_target(report, "add_10k_over_10",
                          series_ratio(&contenders[TEN_THOUSAND].series, &contenders[TEN].series),
                          1.10, false,
                          all.crowds[TEN_THOUSAND].held == sizes[TEN_THOUSAND]
                              ? NULL
                              : "with fewer than 10000: RLIMIT_NOFILE is lower");
        for (size_t i = 0; i < count; i++)
            series_free(&contenders[i].series);
    }
    stop_all(&all);
    chain_remove(&chain);
}

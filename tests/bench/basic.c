/* SPDX-License-Identifier: MIT */
/* Opens against the least that they can cost. */
#include <stdio.h>

#include "floor.h"
#include "groups.h"
#include "ours.h"

#define CHAIN     64 /* images */
#define INSTANCES 8  /* of helper and reference: where a process lies in memory matters */
#define ROUNDS    25 /* with each */
#define SAMPLES   64 /* a round */

enum { FLOOR, OPEN, OPEN_CLOSE, OPEN2, DUP, MANY_64, MANY_64_CLOSE, FLOOR_64, BASICS };

/* How many at once, and how many are under way at once. */
static const size_t many[] = {1, 2, 4, 8, 16, 32, 128, 250};
static const size_t depths[] = {1, 2, 4, 8, 16, 32, 64};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define DEPTH_32     5 /* in `depths` */
#define ONCE_A_ROUND 4 /* samples of what takes long */

struct scene {
    struct chain chain;
    struct floor floor;
    struct ours ours;
};

static void measure_instance(struct scene *scene, struct contender *contenders, size_t count) {
    floor_start(&scene->floor, scene->chain.descriptors[0]);
    ours_start(&scene->ours, scene->chain.descriptors, scene->chain.count, NULL);
    take_turns(contenders, count, rounds_of_group(ROUNDS), SAMPLES);
    ours_stop(&scene->ours);
    floor_stop(&scene->floor);
}

static void measure_all(struct contender *contenders, size_t count, struct scene *scene) {
    for (int instance = 0; instance < INSTANCES; instance++)
        measure_instance(scene, contenders, count);
}

static void free_all(struct contender *contenders, size_t count) {
    for (size_t i = 0; i < count; i++)
        series_free(&contenders[i].series);
}

static void report_basics(struct report *report, const struct contender *all) {
    const struct series *floor = &all[FLOOR].series, *open2 = &all[OPEN2].series;
    report_group(report, "open", "An open, microseconds");
    report_series(report, floor, NULL);
    report_series(report, &all[OPEN].series, floor);
    report_series(report, &all[OPEN_CLOSE].series, floor);
    report_group(report, "chain", "A chain of 64 images, microseconds each");
    report_series(report, open2, NULL);
    for (size_t i = DUP; i < BASICS; i++)
        report_series(report, &all[i].series, open2);
    report_noise(report, floor);
    report_target(report, "open_over_floor", series_ratio(&all[OPEN].series, floor), 1.10, false,
                  NULL);
    report_target(report, "open_close_over_floor", series_ratio(&all[OPEN_CLOSE].series, floor),
                  1.30, false, NULL);
    report_target(report, "open_many64_over_open2", series_ratio(&all[MANY_64].series, open2), 0.5,
                  false, NULL);
}

static void bench_opens(struct report *report, struct scene *scene) {
    struct ours *ours = &scene->ours;
    struct contender all[BASICS] = {
        [FLOOR] = {{"floor A: bare server"}, measure_floor, &scene->floor, 1},
        [OPEN] = {{"open"}, measure_open, ours},
        [OPEN_CLOSE] = {{"open + close"}, measure_open_close, ours},
        [OPEN2] = {{"open(2) + close(2)"}, measure_open2, &scene->chain, 0, ONCE_A_ROUND},
        [DUP] = {{"F_DUPFD + close(2)"}, measure_dup, &scene->chain, 0, ONCE_A_ROUND},
        [MANY_64] = {{"open_many"}, measure_open_many, ours, CHAIN, ONCE_A_ROUND},
        [MANY_64_CLOSE] =
            {{"open_many, each closed"}, measure_open_many_close, ours, CHAIN, ONCE_A_ROUND},
        [FLOOR_64] = {{"floor B: bare server, one packet"},
                      measure_floor,
                      &scene->floor,
                      CHAIN,
                      ONCE_A_ROUND},
    };
    measure_all(all, BASICS, scene);
    report_basics(report, all);
    free_all(all, BASICS);
}

/* Something of ours at several sizes, each in turn with its reference of that size. */
struct comparison {
    const char *ours_name, *reference_name;
    void (*ours)(struct contender *, double *, size_t);
    void (*reference)(struct contender *, double *, size_t);
    const size_t *sizes;
    size_t count;
};

static void compare(struct report *report, struct scene *scene, const struct comparison *comparison,
                    struct contender *all) {
    for (size_t i = 0; i < comparison->count; i++) {
        size_t size = comparison->sizes[i];
        struct contender *reference = &all[2 * i], *ours = &all[2 * i + 1];
        *reference = (struct contender){.measure = comparison->reference, .context = &scene->floor};
        *ours = (struct contender){.measure = comparison->ours, .context = &scene->ours};
        snprintf(reference->series.name, sizeof(reference->series.name), "%s, %zu",
                 comparison->reference_name, size);
        snprintf(ours->series.name, sizeof(ours->series.name), "%s, %zu", comparison->ours_name,
                 size);
        reference->number = ours->number = size;
        reference->count = ours->count = ONCE_A_ROUND;
    }
    measure_all(all, 2 * comparison->count, scene);
    for (size_t i = 0; i < comparison->count; i++) {
        report_series(report, &all[2 * i].series, NULL);
        report_series(report, &all[2 * i + 1].series, &all[2 * i].series);
    }
}

static void bench_many(struct report *report, struct scene *scene) {
    struct contender all[2 * COUNT(many)];
    report_group(report, "open_many", "Several at once, microseconds each");
    compare(report, scene,
            &(struct comparison){"open_many", "floor B", measure_open_many, measure_floor, many,
                                 COUNT(many)},
            all);
    free_all(all, COUNT(all));
}

static void bench_pipelined(struct report *report, struct scene *scene) {
    struct contender all[2 * COUNT(depths)];
    report_group(report, "pipelined", "Pipelined to a depth, microseconds each");
    compare(report, scene,
            &(struct comparison){"submit and dispatch", "floor A, pipelined", measure_pipelined,
                                 measure_floor_pipelined, depths, COUNT(depths)},
            all);
    report_target(report, "pipelined32_over_floor",
                  series_ratio(&all[2 * DEPTH_32 + 1].series, &all[2 * DEPTH_32].series), 1.15,
                  false, NULL);
    free_all(all, COUNT(all));
}

void bench_basic(struct report *report) {
    struct scene scene = {0};
    chain_make(&scene.chain, CHAIN);
    bench_opens(report, &scene);
    bench_many(report, &scene);
    bench_pipelined(report, &scene);
    chain_remove(&scene.chain);
}

/* SPDX-License-Identifier: MIT */
/* Medians and ratios of measured times: see series.h. */
#include "series.h"

#include <err.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

double now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int ascending(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double quantile_of(const double *values, size_t count, double quantile) {
    if (count == 0)
        return NAN;
    double *sorted = malloc(count * sizeof(*sorted));
    if (!sorted)
        err(1, "malloc");
    memcpy(sorted, values, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), ascending);
    double value = sorted[(size_t)(quantile * (double)(count - 1) + 0.5)];
    free(sorted);
    return value;
}

double median_of(const double *values, size_t count) {
    return quantile_of(values, count, 0.5);
}

void series_add(struct series *series, const double *samples, size_t count) {
    size_t total = series->sample_count + count;
    series->samples = realloc(series->samples, total * sizeof(double));
    series->rounds = realloc(series->rounds, (series->round_count + 1) * sizeof(double));
    if (!series->samples || !series->rounds)
        err(1, "realloc");
    memcpy(series->samples + series->sample_count, samples, count * sizeof(double));
    series->sample_count = total;
    series->rounds[series->round_count++] = median_of(samples, count);
}

void series_free(struct series *series) {
    free(series->samples);
    free(series->rounds);
    series->samples = series->rounds = NULL;
    series->sample_count = series->round_count = 0;
}

double series_median(const struct series *series) {
    return series_quantile(series, 0.5);
}

double series_quantile(const struct series *series, double quantile) {
    return quantile_of(series->samples, series->sample_count, quantile);
}

double series_spread(const struct series *series) {
    const double *rounds = series->rounds;
    size_t count = series->round_count;
    return (quantile_of(rounds, count, 0.75) - quantile_of(rounds, count, 0.25)) /
           median_of(rounds, count);
}

double series_ratio(const struct series *series, const struct series *reference) {
    size_t count =
        series->round_count < reference->round_count ? series->round_count : reference->round_count;
    double *ratios = malloc((count + 1) * sizeof(*ratios));
    if (!ratios)
        err(1, "malloc");
    for (size_t i = 0; i < count; i++)
        ratios[i] = series->rounds[i] / reference->rounds[i];
    double ratio = median_of(ratios, count);
    free(ratios);
    return ratio;
}

double series_p99_ratio(const struct series *series, const struct series *reference) {
    return series_quantile(series, 0.99) / series_quantile(reference, 0.99);
}

void take_turns(struct contender *contenders, size_t count, size_t rounds, size_t samples) {
    double *taken = malloc(samples * sizeof(*taken));
    if (!taken)
        err(1, "malloc");
    for (size_t round = 0; round < rounds; round++)
        for (size_t i = 0; i < count; i++) {
            struct contender *contender = &contenders[(round + i) % count];
            size_t wanted = contender->count ? contender->count : samples;
            contender->measure(contender, taken, wanted);
            series_add(&contender->series, taken, wanted);
        }
    free(taken);
}

/* SPDX-License-Identifier: MIT */
/* Measured times, and what can honestly be said of them on a machine that does
 * other things too: what is compared is measured in turn, in short rounds, and a
 * ratio is the median of the rounds' own ratios. */
#pragma once

#include <stddef.h>

/* Samples of one thing, microseconds an operation, as many in each round. Zero
 * but for the name to begin with. */
struct series {
    char name[48];
    double *samples; /* round after round */
    double *rounds;  /* the median of each */
    size_t sample_count, round_count;
};

double now_us(void);

/* The median of an array, which it leaves as it is; NAN where there are none. */
double median_of(const double *values, size_t count);

/* Takes the samples of one more round. */
void series_add(struct series *series, const double *samples, size_t count);
void series_free(struct series *series);

double series_median(const struct series *series);
double series_quantile(const struct series *series, double quantile);

/* How far the rounds lie apart: (third quartile - first) / median. */
double series_spread(const struct series *series);

/* The median over the rounds of one's median by the other's of the same round. */
double series_ratio(const struct series *series, const struct series *reference);

/* The same for the 99th percentiles, which need all samples: a plain ratio. */
double series_p99_ratio(const struct series *series, const struct series *reference);

/* One thing to measure: fills in `count` samples, microseconds an operation. */
struct contender {
    struct series series;
    void (*measure)(struct contender *contender, double *samples, size_t count);
    void *context;
    size_t number; /* whatever `measure` takes it for */
    size_t count;  /* samples a round; 0: as the others */
};

/* Measures all in turn, `rounds` times, each time beginning with another. */
void take_turns(struct contender *contenders, size_t count, size_t rounds, size_t samples);

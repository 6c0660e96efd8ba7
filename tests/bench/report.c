/* SPDX-License-Identifier: MIT */
/* The table and the JSON of a benchmark: see report.h. */
#include "report.h"

#include <err.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

/* Rounds that lie further apart than this say little about ratios near 1. */
#define QUIET_SPREAD 0.10
#define NOISY_SPREAD 0.25

struct report {
    json_t *root, *all_series, *group, *figures, *targets, *bounds;
    double spread; /* the greatest, NAN before there is one */
};

/* --------------------------------------------------------------- the machine */

static void processor_name(char *name, size_t size) {
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "re");
    snprintf(name, size, "unknown");
    while (file && fgets(line, sizeof(line), file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon)
            continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(name, size, "%s", colon + 2);
        break;
    }
    if (file)
        fclose(file);
}

static json_t *describe_machine(void) {
    char processor[200];
    struct utsname system;
    double load[3] = {NAN, NAN, NAN};
    processor_name(processor, sizeof(processor));
    uname(&system);
    if (getloadavg(load, 3) < 1)
        load[0] = 0;
    return json_pack("{s:s, s:i, s:s, s:s, s:f}", "processor", processor, "processors",
                     (int)sysconf(_SC_NPROCESSORS_ONLN), "kernel", system.release, "architecture",
                     system.machine, "load_at_start", load[0]);
}

static json_t *today(void) {
    char date[32];
    time_t now = time(NULL);
    struct tm utc;
    strftime(date, sizeof(date), "%Y-%m-%d", gmtime_r(&now, &utc));
    return json_string(date);
}

/* JSON knows no NAN. */
static json_t *number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

/* -------------------------------------------------------------- as it goes on */

struct report *report_new(void) {
    struct report *report = calloc(1, sizeof(*report));
    if (!report)
        err(1, "calloc");
    report->spread = NAN;
    report->root = json_object();
    report->all_series = json_object();
    report->figures = json_object();
    report->targets = json_object();
    report->bounds = json_object();
    json_object_set_new(report->root, "date", today());
    json_object_set_new(report->root, "machine", describe_machine());
    return report;
}

void report_group(struct report *report, const char *name, const char *heading) {
    report->group = json_object();
    json_object_set_new(report->all_series, name, report->group);
    printf("\n%-46s %9s %9s %8s\n", heading, "median", "p99", "ratio");
    fflush(stdout);
}

static json_t *rounds_of(const struct series *series) {
    json_t *rounds = json_array();
    for (size_t i = 0; i < series->round_count; i++)
        json_array_append_new(rounds, number(series->rounds[i]));
    return rounds;
}

void report_series(struct report *report, const struct series *series,
                   const struct series *reference) {
    double middle = series_median(series), p99 = series_quantile(series, 0.99);
    json_t *entry =
        json_pack("{s:s, s:i, s:o, s:o, s:o, s:o}", "unit", "us", "samples",
                  (int)series->sample_count, "median", number(middle), "p99", number(p99), "spread",
                  number(series_spread(series)), "round_medians", rounds_of(series));
    printf("  %-44s %9.2f %9.2f", series->name, middle, p99);
    if (reference) {
        double ratio = series_ratio(series, reference);
        json_object_set_new(entry, "reference", json_string(reference->name));
        json_object_set_new(entry, "ratio", number(ratio));
        json_object_set_new(entry, "ratio_of_medians", number(middle / series_median(reference)));
        printf(" %8.2f", ratio);
    }
    printf("\n");
    fflush(stdout);
    json_object_set_new(report->group, series->name, entry);
}

void report_figure(struct report *report, const char *name, double value, const char *unit) {
    printf("  %-44s %9.1f %s\n", name, value, unit);
    fflush(stdout);
    json_object_set_new(report->figures, name,
                        json_pack("{s:o, s:s}", "value", number(value), "unit", unit));
}

void report_target(struct report *report, const char *name, double value, double target,
                   bool at_least, const char *note) {
    bool met = at_least ? value >= target : value <= target;
    json_t *entry = json_object();
    json_object_set_new(entry, at_least ? "at_least" : "at_most", json_real(target));
    json_object_set_new(entry, "met", isfinite(value) ? json_boolean(met) : json_null());
    if (note)
        json_object_set_new(entry, "note", json_string(note));
    json_object_set_new(report->targets, name, entry);
    json_object_set_new(report->root, name, number(value));
}

void report_bound(struct report *report, const char *name, double value, const char *what) {
    json_object_set_new(report->bounds, name,
                        json_pack("{s:o, s:s}", "value", number(value), "of", what));
}

void report_noise(struct report *report, const struct series *reference) {
    double spread = series_spread(reference);
    report->spread = fmax(spread, report->spread); /* which passes a NAN over */
}

/* ------------------------------------------------------------------- the end */

static const char *verdict(double spread) {
    return spread <= QUIET_SPREAD   ? "quiet"
           : spread <= NOISY_SPREAD ? "restless: ratios may be off by a few hundredths"
                                    : "NOISY: measure again when the machine has nothing to do";
}

static void print_target(const struct report *report, const char *name, json_t *target) {
    json_t *limit = json_object_get(target, "at_most"), *met = json_object_get(target, "met");
    const char *sign = limit ? "<=" : ">=",
               *note = json_string_value(json_object_get(target, "note"));
    double value = json_number_value(json_object_get(report->root, name));
    if (!limit)
        limit = json_object_get(target, "at_least");
    if (json_is_null(met))
        printf("  %-26s %10s   %s %-8.6g", name, "-", sign, json_number_value(limit));
    else
        printf("  %-26s %10.2f   %s %-8.6g %s", name, value, sign, json_number_value(limit),
               json_is_true(met) ? "met    " : "not met");
    printf("%s%s\n", note ? "  " : "", note ? note : "");
    json_t *bound = json_object_get(report->bounds, name);
    if (bound)
        printf("  %26s %10.2f   %s\n", "at best",
               json_number_value(json_object_get(bound, "value")),
               json_string_value(json_object_get(bound, "of")));
}

static void print_summary(const struct report *report) {
    const char *name;
    json_t *target;
    printf("\n%-28s %10s   target\n", "What is promised", "measured");
    json_object_foreach(report->targets, name, target) print_target(report, name, target);
    if (isfinite(report->spread))
        printf("\nThe machine was %s (rounds of a reference spread by %.0f %%).\n",
               verdict(report->spread), report->spread * 100);
}

int report_end(struct report *report, const char *path) {
    int result = 0;
    json_object_set_new(report->root, "noise",
                        json_pack("{s:o, s:s}", "spread", number(report->spread), "verdict",
                                  verdict(report->spread)));
    json_object_set_new(report->root, "targets", report->targets);
    json_object_set_new(report->root, "bounds", report->bounds);
    json_object_set_new(report->root, "figures", report->figures);
    json_object_set_new(report->root, "series", report->all_series);
    print_summary(report);
    if (path && json_dump_file(report->root, path, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) < 0)
        result = errno ? -errno : -EIO;
    json_decref(report->root);
    free(report);
    return result;
}

/* SPDX-License-Identifier: MIT */
/* What the benchmark found: a table for people as it goes along, JSON for
 * machines at the end. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "series.h"

struct report;

struct report *report_new(void);

/* A heading of the table, and a name in the JSON's "series". */
void report_group(struct report *report, const char *name, const char *heading);

/* A line of the table: median, p99 and, unless it is NULL, the ratio to a
 * reference. Copies what it needs. */
void report_series(struct report *report, const struct series *series,
                   const struct series *reference);

/* A figure that is no time. */
void report_figure(struct report *report, const char *name, double value, const char *unit);

/* One of the figures that the project promises, with what it promises: a number at
 * the top of the JSON; NAN: it could not be measured, and `note` says why. `note`,
 * for what else must be known of it, may be NULL. `at_least`: more is better. */
void report_target(struct report *report, const char *name, double value, double target,
                   bool at_least, const char *note);

/* What no program could do better than, here: the promised figure of something that has
 * its system calls and nothing else. `what` says of what. */
void report_bound(struct report *report, const char *name, double value, const char *what);

/* How quiet it was, by something that should always take the same time. */
void report_noise(struct report *report, const struct series *reference);

/* Prints the promised figures, writes the JSON to a file unless `path` is NULL, and
 * frees the report. Returns 0 or -errno. */
int report_end(struct report *report, const char *path);

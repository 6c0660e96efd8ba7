/* SPDX-License-Identifier: MIT */
/* The helper's totals, each by its name. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <fdset/manager.h>

enum total_type {
    TOTAL_GAUGE,   /* so many now */
    TOTAL_COUNTER, /* so many in the helper's life */
    TOTAL_TIME,    /* milliseconds */
};

struct total {
    const char *name; /* in JSON and tables, and after "fdset_helper_" */
    enum total_type type;
    const char *help;
    size_t offset, size; /* in struct fdset_totals */
};

/* By index from 0; NULL after the last. */
const struct total *total_at(size_t index);

/* The helper's, or ends the program; `name` is argv[0]. */
struct fdset_totals totals_ask(const char *name, struct fdset_manager *manager);

uint64_t total_value(const struct total *total, const struct fdset_totals *totals);

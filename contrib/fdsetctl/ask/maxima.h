/* SPDX-License-Identifier: MIT */
/* The helper's limits, each by its name. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <fdset/manager.h>

struct limit {
    const char *name;  /* in JSON and tables, and before "_limit" in OpenMetrics */
    const char *total; /* the total that comes up to it, or NULL */
    const char *help;
    size_t offset; /* in struct fdset_limits */
};

/* By index from 0; NULL after the last. */
const struct limit *limit_at(size_t index);

uint32_t limit_value(const struct limit *limit, const struct fdset_limits *limits);

/* SPDX-License-Identifier: MIT */
/* The helper's totals and limits, each by its name. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <fdset/manager.h>

enum figure_type {
    FIGURE_GAUGE,   /* so many now, or at most */
    FIGURE_COUNTER, /* so many in the helper's life */
    FIGURE_TIME,    /* milliseconds */
};

struct figure {
    const char *name; /* in JSON and tables, and after "fdset_helper_" */
    enum figure_type type;
    const char *help;
    size_t offset, size; /* in the structure that it is a member of */
};

/* Of struct fdset_totals and of struct fdset_limits; each ends with a NULL name. */
extern const struct figure total_figures[], limit_figures[];

/* Of struct fdset_endpoint_info, likewise. */
extern const struct figure endpoint_figures[];

/* The total that comes up to a limit, or NULL. */
const struct figure *limit_total(const struct figure *limit);

/* `figures` is the structure that `figure` is a member of. */
uint64_t figure_value(const struct figure *figure, const void *figures);

/* The helper's, with its endpoints and no set, or ends the program. */
struct fdset_listing *totals_ask(struct fdset_manager *manager);

/* SPDX-License-Identifier: MIT */
/* The columns of each view: what stands in them. */
#pragma once

#include <stdbool.h>

#include <fdset/manager.h>

#include "output/table.h"

/* What a line is about; what its view has no use for is NULL. */
struct row {
    const char *vm;
    const struct fdset_info *set;
    const struct fdset_member_info *member;
    const struct fdset_lease_info *lease;
    const struct fdset_waiting_info *waiting;
};

/* A cell to fill: its text, as it is, or NULL for none. The caller's to free. */
struct cell {
    char *text;
};

struct column {
    struct table_column table;
    void (*fill)(struct cell *cell, const struct row *row);
    bool (*wanted)(const struct fdset_info *set); /* shown if any set has it; NULL: always */
    bool several;                                 /* shown where several helpers were asked */
};

/* By enum view; each ends with a NULL `fill`. */
extern const struct column *const view_all_columns[];

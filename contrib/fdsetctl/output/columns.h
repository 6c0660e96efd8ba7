/* SPDX-License-Identifier: MIT */
/* The columns of each view. */
#pragma once

#include <stdbool.h>

#include <fdset/manager.h>

#include "output/table.h"

enum view {
    VIEW_MEMBERS, /* a line for each member, and for each set without */
    VIEW_LEASES,
    VIEW_WAITING, /* opens that wait */
};

/* What a line is about; what its view has no use for is NULL. */
struct row {
    const char *vm;
    const struct fdset_info *set;
    const struct fdset_member_info *member;
    const struct fdset_lease_info *lease;
    const struct fdset_waiting_info *waiting;
};

struct column {
    struct table_column table;
    char *(*fill)(const struct row *row); /* the text, as it is, to be freed; NULL for none */
    bool (*wanted)(const struct fdset_info *set); /* shown if any set has it; NULL: always */
    bool several;                                 /* shown where several helpers were asked */
};

/* By enum view; each ends with a NULL `fill`. */
extern const struct column *const view_all_columns[];

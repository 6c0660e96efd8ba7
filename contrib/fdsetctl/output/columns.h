/* SPDX-License-Identifier: MIT */
/* The columns of each view. */
#pragma once

#include <fdset/manager.h>

#include "output/table.h"

enum view {
    VIEW_MEMBERS, /* a line for each member, and for each set without */
    VIEW_LEASES,
    VIEW_WAITING, /* opens that wait */
};

/* A lease, or an open that waits. */
struct opened {
    int flags;
    uint64_t age_ms;
    pid_t pid;
    const char *name, *endpoint;
};

/* What a line is about; what its view has no use for is NULL. */
struct row {
    const char *vm;
    const struct fdset_info *set;
    const struct fdset_member_info *member;
    const struct fdset_lease_info *lease;
    const struct fdset_waiting_info *waiting;
    struct opened opened;
};

/* When a column is shown that nobody has named. */
enum column_use {
    ALWAYS,
    IF_ANY,       /* where a line has something there, and not "0" */
    IF_SEVERAL,   /* where several helpers were asked */
    IF_DIFFERENT, /* where two lines differ in it */
    IF_NAMED,
};

struct column {
    struct table_column table;
    char *(*fill)(const struct row *row); /* the text, as it is, to be freed; NULL for none */
    enum column_use use;
};

/* By enum view; each ends with a NULL `fill`. */
extern const struct column *const view_all_columns[];

/* SPDX-License-Identifier: MIT */
/* A listing as tables, whose columns users may choose. */
#pragma once

#include <stdbool.h>

#include "ask/sources.h"
#include "output/columns.h"

/* What to show of what. */
struct view_request {
    enum view view;
    const struct sources *sources;
    const struct file_id *file; /* only members of this file; NULL: all */
    const char *output;         /* columns with commas between; NULL: those that are usual */
    bool no_headings;
};

/* Prints nothing where there is nothing to list. `output` has been checked. */
void view_print(const struct view_request *request);

/* Ends the program where `output`, of the command line, is no such list. */
void view_check(enum view view, const char *output);

/* Each different value of the one column `output` alone, one a line, as it is. Nothing stands for
 * what is absent; values that would not be plain text are left out. */
void view_values_print(const struct view_request *request);

/* Is `column` one column? */
bool view_has_column(enum view view, const char *column);

/* The names of all columns, with commas between; they last until the next call. */
const char *view_columns(enum view view);

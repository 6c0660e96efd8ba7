/* A listing as tables, whose columns users may choose. */
#pragma once

#include <stdbool.h>

#include <fdset/manager.h>

enum view {
    VIEW_MEMBERS, /* a line for each member, and for each set without */
    VIEW_LEASES,
    VIEW_WAITING, /* opens that wait */
};

/* Prints nothing where there is nothing to list. `output` names the columns,
 * with commas between; NULL for those that are usual. False where there is no
 * such column: before anything is printed, and view_columns() tells which there
 * are. */
bool view_print(enum view view, const struct fdset_listing *listing, const char *output,
                bool headings);

/* Is `output` such a list? */
bool view_has(enum view view, const char *output);

/* Each different value of one column alone, one a line, as it is. Nothing stands for
 * what is absent; values that would not be plain text are left out. */
void view_values_print(enum view view, const struct fdset_listing *listing, const char *column);

/* Is `column` one column? */
bool view_has_column(enum view view, const char *column);

/* The names of all columns, with commas between. The caller's to free. */
char *view_columns(enum view view);

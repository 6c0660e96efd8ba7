/* SPDX-License-Identifier: MIT */
/* Aligned tables for people, by libsmartcols. A lack of memory ends the program. */
#pragma once

#include <libsmartcols.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_column {
    const char *name;
    bool number; /* aligned to the right */
};

/* `columns` ends with a NULL name. */
struct libscols_table *table_new(const struct table_column *columns, bool headings);
struct libscols_line *table_line(struct libscols_table *table);

/* Fills the cell in `column`, counted from 0. What cannot be printed is escaped. */
void table_cell(struct libscols_line *line, size_t column, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for a number, or "-" where it is not there. */
void table_number(struct libscols_line *line, size_t column, uint64_t number, bool is_there);

/* A line of two cells: "NAME:" and a value. */
#define table_field(table, name, ...)                    \
    do {                                                 \
        struct libscols_line *line_ = table_line(table); \
        table_cell(line_, 0, "%s:", name);               \
        table_cell(line_, 1, __VA_ARGS__);               \
    } while (0)

/* Prints and frees the table. Without lines it prints nothing. */
void table_print(struct libscols_table *table);

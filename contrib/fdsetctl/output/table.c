/* SPDX-License-Identifier: MIT */
/* Fills and prints libsmartcols' tables, with plain text alone. */
#include "output/table.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#include "base/plain.h"
#include "common/memory.h"
#include "common/say.h"

struct libscols_table *table_new(const struct table_column *columns, bool headings) {
    struct libscols_table *table = scols_new_table();

    if (!table)
        die("out of memory");
    scols_table_enable_noheadings(table, !headings);
    scols_table_enable_noencoding(table, true); /* cells are plain text already */
    for (; columns->name; columns++)
        if (!scols_table_new_column(table, columns->name, 0, columns->number ? SCOLS_FL_RIGHT : 0))
            die("out of memory");
    return table;
}

struct libscols_line *table_line(struct libscols_table *table) {
    struct libscols_line *line = scols_table_new_line(table, NULL);

    if (!line)
        die("out of memory");
    return line;
}

void table_cell(struct libscols_line *line, size_t column, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    char *text = xvasprintf(format, arguments);
    va_end(arguments);
    if (scols_line_refer_data(line, column, plain_text(text)))
        die("out of memory");
    free(text);
}

void table_number(struct libscols_line *line, size_t column, uint64_t number, bool is_there) {
    if (is_there)
        table_cell(line, column, "%" PRIu64, number);
    else
        table_cell(line, column, "-");
}

void table_print(struct libscols_table *table) {
    if (scols_print_table(table))
        die("cannot print the table");
    scols_unref_table(table);
}

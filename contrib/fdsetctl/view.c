#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "columns.h"
#include "fdsetctl.h"
#include "plain.h"
#include "view.h"

#define MAX_COLUMNS 32

/* The columns to show, in their order. */
struct choice {
    const struct column *all[MAX_COLUMNS];
    size_t count;
};

static bool column_choose(struct choice *choice, const struct column *columns, const char *name,
                          size_t length) {
    for (; columns->fill; columns++)
        if (strlen(columns->table.name) == length &&
            !strncasecmp(columns->table.name, name, length)) {
            if (choice->count == MAX_COLUMNS)
                return false;
            choice->all[choice->count++] = columns;
            return true;
        }
    return false;
}

static bool output_parse(struct choice *choice, enum view view, const char *output) {
    for (;; output++) {
        size_t length = strcspn(output, ",");
        if (!column_choose(choice, view_all_columns[view], output, length))
            return false;
        output += length;
        if (!*output)
            return true;
    }
}

static void usual_choose(struct choice *choice, enum view view,
                         const struct fdset_listing *listing) {
    for (const struct column *column = view_all_columns[view]; column->fill; column++) {
        bool wanted = !column->wanted;
        for (size_t i = 0; !wanted && i < listing->count; i++)
            wanted = column->wanted(&listing->sets[i]);
        if (wanted)
            choice->all[choice->count++] = column;
    }
}

bool view_has(enum view view, const char *output) {
    struct choice choice = {.count = 0};

    return output_parse(&choice, view, output);
}

bool view_has_column(enum view view, const char *column) {
    return !strchr(column, ',') && view_has(view, column);
}

char *view_columns(enum view view) {
    const struct column *columns = view_all_columns[view];
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);

    if (!stream)
        refused("fdsetctl", "out of memory");
    for (const struct column *column = columns; column->fill; column++)
        fprintf(stream, "%s%s", column == columns ? "" : ",", column->table.name);
    if (fclose(stream))
        refused("fdsetctl", "out of memory");
    return text;
}

/* ------------------------------------------------------------------- lines */

/* Where the lines go: to `line`, one after the other. */
struct sink {
    struct choice choice;
    void (*line)(struct sink *sink, const struct row *row);
    struct libscols_table *table; /* of a table, */
    void *seen;                   /* of values: those that have been printed */
};

static void row_give(struct sink *sink, struct row row) {
    sink->line(sink, &row);
}

static void members_give(struct sink *sink, const struct fdset_info *set) {
    for (size_t i = 0; i < set->member_count; i++)
        row_give(sink, (struct row){.set = set, .member = &set->members[i]});
    if (set->member_count == 0)
        row_give(sink, (struct row){.set = set});
}

static void leases_give(struct sink *sink, const struct fdset_info *set) {
    for (size_t i = 0; i < set->member_count; i++) {
        struct row row = {.set = set, .member = &set->members[i]};
        for (size_t j = 0; j < row.member->lease_count; j++) {
            row.lease = &row.member->leases[j];
            row_give(sink, row);
        }
    }
}

static void lines_give(struct sink *sink, enum view view, const struct fdset_listing *listing) {
    for (size_t i = 0; view == VIEW_MEMBERS && i < listing->count; i++)
        members_give(sink, &listing->sets[i]);
    for (size_t i = 0; view == VIEW_LEASES && i < listing->count; i++)
        leases_give(sink, &listing->sets[i]);
    for (size_t i = 0; view == VIEW_WAITING && i < listing->waiting_count; i++)
        row_give(sink, (struct row){.waiting = &listing->waiting[i]});
}

/* ------------------------------------------------------------------- table */

static void line_print(struct sink *sink, const struct row *row) {
    struct libscols_line *line = table_line(sink->table);

    for (size_t i = 0; i < sink->choice.count; i++) {
        struct cell cell = {NULL};
        sink->choice.all[i]->fill(&cell, row);
        table_cell(line, i, "%s", cell.text ? cell.text : "-");
        free(cell.text);
    }
}

static struct libscols_table *choice_table(const struct choice *choice, bool headings) {
    struct table_column columns[MAX_COLUMNS + 1] = {{NULL}};

    for (size_t i = 0; i < choice->count; i++)
        columns[i] = choice->all[i]->table;
    return table_new(columns, headings);
}

bool view_print(enum view view, const struct fdset_listing *listing, const char *output,
                bool headings) {
    struct sink sink = {.line = line_print};

    if (!output)
        usual_choose(&sink.choice, view, listing);
    else if (!output_parse(&sink.choice, view, output))
        return false;
    sink.table = choice_table(&sink.choice, headings);
    lines_give(&sink, view, listing);
    table_print(sink.table);
    return true;
}

/* ------------------------------------------------------------------ values */

static int text_compare(const void *one, const void *other) {
    return strcmp(one, other);
}

static void value_print(struct sink *sink, const struct row *row) {
    struct cell cell = {NULL};

    sink->choice.all[0]->fill(&cell, row);
    if (!cell.text || !plain_is(cell.text) || tfind(cell.text, &sink->seen, text_compare)) {
        free(cell.text);
        return;
    }
    puts(cell.text);
    if (!tsearch(cell.text, &sink->seen, text_compare))
        refused("fdsetctl", "out of memory");
}

void view_values_print(enum view view, const struct fdset_listing *listing, const char *column) {
    struct sink sink = {.line = value_print};

    if (!output_parse(&sink.choice, view, column))
        return;
    lines_give(&sink, view, listing);
    tdestroy(sink.seen, free);
}

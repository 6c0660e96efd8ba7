/* SPDX-License-Identifier: MIT */
/* Chooses the columns of a view, and gives it the lines of a listing. */
#include "output/view.h"

#include <assert.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/plain.h"
#include "base/words.h"
#include "common/say.h"

#define MAX_COLUMNS 32

/* The columns to show, in their order. */
struct choice {
    const struct column *all[MAX_COLUMNS];
    size_t count;
};

static bool output_parse(struct choice *choice, enum view view, const char *output) {
    FOR_WORDS(word, output) {
        const struct column *column = view_all_columns[view];
        while (column->fill && !word_is(column->table.name, word))
            column++;
        if (!column->fill || choice->count == MAX_COLUMNS)
            return false;
        choice->all[choice->count++] = column;
    }
    return true;
}

static bool view_has(enum view view, const char *output) {
    struct choice choice = {.count = 0};

    return output_parse(&choice, view, output);
}

bool view_has_column(enum view view, const char *column) {
    return !strchr(column, ',') && view_has(view, column);
}

void view_check(enum view view, const char *output) {
    if (!view_has(view, output))
        die_usage("--output: '%s' is not a list of columns; there are %s", output,
                  view_columns(view));
}

const char *view_columns(enum view view) {
    static struct words words;

    words.text[0] = '\0';
    for (const struct column *column = view_all_columns[view]; column->fill; column++)
        words_append(&words, column->table.name);
    return words.text;
}

/* ------------------------------------------------------------------- lines */

/* Where the lines go: to `line`, one after the other. */
struct sink {
    struct choice choice;
    void (*line)(struct sink *sink, const struct row *row);
    struct libscols_table *table; /* of a table, */
    void *seen;                   /* of values: those that have been printed */
    bool is_any;                  /* of a column: there is a value in it, */
    char *first;                  /* the first, */
    bool differs;                 /* and another */
    const char *vm;               /* whose lines those are */
};

static void row_give(struct sink *sink, struct row row) {
    row.vm = sink->vm;
    sink->line(sink, &row);
}

static void leases_give(struct sink *sink, struct row row) {
    for (size_t i = 0; i < row.member->lease_count; i++) {
        const struct fdset_lease_info *lease = row.lease = &row.member->leases[i];
        row.opened =
            (struct opened){lease->flags, lease->age_ms, lease->pid, lease->name, lease->endpoint};
        row_give(sink, row);
    }
}

static void waiting_give(struct sink *sink, const struct fdset_waiting_info *waiting) {
    row_give(sink, (struct row){
                       .waiting = waiting,
                       .opened = {waiting->flags, waiting->age_ms, waiting->pid, waiting->name,
                                  waiting->endpoint},
                   });
}

static void set_give(struct sink *sink, const struct view_request *request,
                     const struct fdset_info *set) {
    for (size_t i = 0; i < set->member_count; i++) {
        struct row row = {.set = set, .member = &set->members[i]};
        if (!file_id_fits(request->file, row.member))
            continue;
        if (request->view == VIEW_MEMBERS)
            row_give(sink, row);
        else
            leases_give(sink, row);
    }
    if (request->view == VIEW_MEMBERS && set->member_count == 0 && !request->file)
        row_give(sink, (struct row){.set = set});
}

static void lines_give(struct sink *sink, const struct view_request *request) {
    for (size_t i = 0; i < request->sources->count; i++) {
        const struct fdset_listing *listing = request->sources->all[i].listing;
        sink->vm = request->sources->all[i].vm;
        for (size_t j = 0; request->view != VIEW_WAITING && j < listing->count; j++)
            set_give(sink, request, &listing->sets[j]);
        for (size_t j = 0; request->view == VIEW_WAITING && j < listing->waiting_count; j++)
            waiting_give(sink, &listing->waiting[j]);
    }
}

/* ------------------------------------------------------------------- table */

static void value_look(struct sink *sink, const struct row *row) {
    char *value = sink->choice.all[0]->fill(row);

    sink->is_any |= value && strcmp(value, "0") != 0;
    sink->differs |= value && sink->first && strcmp(value, sink->first) != 0;
    if (!sink->first)
        sink->first = value;
    else
        free(value);
}

static bool is_usual(const struct column *column, const struct view_request *request) {
    struct sink sink = {.line = value_look, .choice = {.all = {column}, .count = 1}};

    if (column->use == IF_ANY || column->use == IF_DIFFERENT)
        lines_give(&sink, request);
    free(sink.first);
    return column->use == ALWAYS || (column->use == IF_ANY && sink.is_any) ||
           (column->use == IF_DIFFERENT && sink.differs) ||
           (column->use == IF_SEVERAL && request->sources->several);
}

static void usual_choose(struct choice *choice, const struct view_request *request) {
    const struct column *column = view_all_columns[request->view];

    for (; column->fill; column++)
        if (is_usual(column, request))
            choice->all[choice->count++] = column;
}

static void line_print(struct sink *sink, const struct row *row) {
    struct libscols_line *line = table_line(sink->table);

    for (size_t i = 0; i < sink->choice.count; i++) {
        char *cell = sink->choice.all[i]->fill(row);
        table_cell(line, i, "%s", cell ? cell : "-");
        free(cell);
    }
}

static struct libscols_table *choice_table(const struct choice *choice, bool headings) {
    struct table_column columns[MAX_COLUMNS + 1] = {{NULL}};

    for (size_t i = 0; i < choice->count; i++)
        columns[i] = choice->all[i]->table;
    return table_new(columns, headings);
}

void view_print(const struct view_request *request) {
    struct sink sink = {.line = line_print};

    if (request->output)
        output_parse(&sink.choice, request->view, request->output);
    else
        usual_choose(&sink.choice, request);
    sink.table = choice_table(&sink.choice, !request->no_headings);
    lines_give(&sink, request);
    table_print(sink.table);
}

/* ------------------------------------------------------------------ values */

static int text_compare(const void *one, const void *other) {
    return strcmp(one, other);
}

static void value_print(struct sink *sink, const struct row *row) {
    const struct column *column = sink->choice.all[0]; /* the only one */

    assert(column);
    char *value = column->fill(row);

    if (!value || !plain_is(value) || tfind(value, &sink->seen, text_compare)) {
        free(value);
        return;
    }
    puts(value);
    if (!tsearch(value, &sink->seen, text_compare))
        die("out of memory");
}

void view_values_print(const struct view_request *request) {
    struct sink sink = {.line = value_print};

    output_parse(&sink.choice, request->view, request->output);
    lines_give(&sink, request);
    tdestroy(sink.seen, free);
}

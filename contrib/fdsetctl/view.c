#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/sysmacros.h>

#include "fdsetctl.h"
#include "table.h"
#include "view.h"
#include "words.h"

/* What a line is about; what its view has no use for is NULL. */
struct row {
    const struct fdset_info *set;
    const struct fdset_member_info *member;
    const struct fdset_lease_info *lease;
    const struct fdset_waiting_info *waiting;
};

/* A cell to fill. */
struct cell {
    struct libscols_line *line;
    size_t column;
};
#define cell_print(cell, ...) table_cell((cell)->line, (cell)->column, __VA_ARGS__)

static void cell_text(const struct cell *cell, const char *text) {
    cell_print(cell, "%s", text ? text : "-");
}

static void cell_duration(const struct cell *cell, uint64_t milliseconds) {
    cell_print(cell, "%s", duration_text(milliseconds).text);
}

static void cell_flags(const struct cell *cell, int flags) {
    struct words words = flags_words(flags);
    cell_text(cell, words_text(&words));
}

/* ---------------------------------------------------------------- of a set */

static void set_number(const struct cell *cell, const struct row *row) {
    cell_print(cell, "%d", row->set->set);
}

static void set_lifetime(const struct cell *cell, const struct row *row) {
    cell_print(cell, "%s%s", lifetime_word(row->set->lifetime),
               row->set->orphaned ? ",orphaned" : "");
}

static void set_name(const struct cell *cell, const struct row *row) {
    cell_text(cell, row->set->name);
}

static void set_owner(const struct cell *cell, const struct row *row) {
    cell_text(cell, row->set->owner);
}

static void set_expires(const struct cell *cell, const struct row *row) {
    if (row->set->expires_ms < 0)
        cell_text(cell, NULL);
    else
        cell_duration(cell, row->set->expires_ms);
}

static void set_holds(const struct cell *cell, const struct row *row) {
    cell_print(cell, "%u", row->set->holds);
}

static bool any_name(const struct fdset_info *set) {
    return set->name;
}

static bool any_owner(const struct fdset_info *set) {
    return set->owner;
}

static bool any_expires(const struct fdset_info *set) {
    return set->expires_ms >= 0;
}

static bool any_holds(const struct fdset_info *set) {
    return set->holds;
}

/* ------------------------------------- of a member, which a held set may lack */

static void member_number(const struct cell *cell, const struct row *row) {
    if (row->member)
        cell_print(cell, "%u", row->member->member);
    else
        cell_text(cell, NULL);
}

static void member_mode(const struct cell *cell, const struct row *row) {
    cell_text(cell, row->member ? mode_word(row->member->flags) : NULL);
}

static void member_flags(const struct cell *cell, const struct row *row) {
    struct words words = row->member ? member_words(row->member) : (struct words){""};
    cell_text(cell, words_text(&words));
}

static void member_state(const struct cell *cell, const struct row *row) {
    cell_text(cell, row->member ? state_word(row->member->state) : NULL);
}

static void member_leases(const struct cell *cell, const struct row *row) {
    cell_print(cell, "%zu", row->member ? row->member->lease_count : 0);
}

static void member_age(const struct cell *cell, const struct row *row) {
    if (row->member)
        cell_duration(cell, row->member->age_ms);
    else
        cell_text(cell, NULL);
}

static void member_device(const struct cell *cell, const struct row *row) {
    if (row->member)
        cell_print(cell, "%u:%u", major(row->member->device), minor(row->member->device));
    else
        cell_text(cell, NULL);
}

static void member_inode(const struct cell *cell, const struct row *row) {
    if (row->member)
        cell_print(cell, "%llu", (unsigned long long)row->member->inode);
    else
        cell_text(cell, NULL);
}

static void member_opaque(const struct cell *cell, const struct row *row) {
    cell_text(cell, row->member ? row->member->opaque : NULL);
}

/* -------------------------------------------------------------- of a lease */

static void lease_number(const struct cell *cell, const struct row *row) {
    cell_print(cell, "%u", row->lease->lease);
}

static void lease_mode(const struct cell *cell, const struct row *row) {
    cell_text(cell, mode_word(row->lease->flags));
}

static void lease_flags(const struct cell *cell, const struct row *row) {
    cell_flags(cell, row->lease->flags);
}

static void lease_age(const struct cell *cell, const struct row *row) {
    cell_duration(cell, row->lease->age_ms);
}

static void lease_pid(const struct cell *cell, const struct row *row) {
    cell_print(cell, "%d", (int)row->lease->pid);
}

static void lease_holder(const struct cell *cell, const struct row *row) {
    cell_text(cell, row->lease->name);
}

/* ------------------------------------------------------- of a waiting open */

static void waiting_number(const struct cell *cell, const struct row *row) {
    cell_print(cell, "%u", row->waiting->waiting);
}

static void waiting_path(const struct cell *cell, const struct row *row) {
    cell_text(cell, row->waiting->path);
}

static void waiting_mode(const struct cell *cell, const struct row *row) {
    cell_text(cell, mode_word(row->waiting->flags));
}

static void waiting_flags(const struct cell *cell, const struct row *row) {
    cell_flags(cell, row->waiting->flags);
}

static void waiting_age(const struct cell *cell, const struct row *row) {
    cell_duration(cell, row->waiting->age_ms);
}

static void waiting_expires(const struct cell *cell, const struct row *row) {
    if (row->waiting->expires_ms)
        cell_duration(cell, row->waiting->expires_ms);
    else
        cell_text(cell, NULL);
}

static void waiting_pid(const struct cell *cell, const struct row *row) {
    cell_print(cell, "%d", (int)row->waiting->pid);
}

static void waiting_holder(const struct cell *cell, const struct row *row) {
    cell_text(cell, row->waiting->name);
}

/* ----------------------------------------------------------------- columns */

static bool never(const struct fdset_info *set) {
    (void)set;
    return false;
}

struct column {
    struct table_column table;
    void (*fill)(const struct cell *cell, const struct row *row);
    bool (*wanted)(const struct fdset_info *set); /* shown if any set has it; NULL: always */
};

/* OPAQUE stays last: it may have blanks in it. */
static const struct column member_columns[] = {
    {{"SET", true}, set_number},
    {{"MEMBER", true}, member_number},
    {{"MODE"}, member_mode},
    {{"FLAGS"}, member_flags},
    {{"STATE"}, member_state},
    {{"LEASES", true}, member_leases},
    {{"AGE", true}, member_age},
    {{"LIFETIME"}, set_lifetime},
    {{"NAME"}, set_name, any_name},
    {{"OWNER"}, set_owner, any_owner},
    {{"EXPIRES", true}, set_expires, any_expires},
    {{"HOLDS", true}, set_holds, any_holds},
    {{"DEVICE"}, member_device, never},
    {{"INODE", true}, member_inode, never},
    {{"OPAQUE"}, member_opaque},
    {{NULL}},
};

static const struct column lease_columns[] = {
    {{"LEASE", true}, lease_number},    {{"SET", true}, set_number},
    {{"MEMBER", true}, member_number},  {{"MODE"}, lease_mode},
    {{"FLAGS"}, lease_flags},           {{"AGE", true}, lease_age},
    {{"PID", true}, lease_pid},         {{"NAME"}, lease_holder},
    {{"OPAQUE"}, member_opaque, never}, {{NULL}},
};

static const struct column waiting_columns[] = {
    {{"WAITING", true}, waiting_number},
    {{"PATH"}, waiting_path},
    {{"MODE"}, waiting_mode},
    {{"FLAGS"}, waiting_flags},
    {{"AGE", true}, waiting_age},
    {{"EXPIRES", true}, waiting_expires},
    {{"PID", true}, waiting_pid},
    {{"NAME"}, waiting_holder},
    {{NULL}},
};

static const struct column *const views[] = {
    [VIEW_MEMBERS] = member_columns,
    [VIEW_LEASES] = lease_columns,
    [VIEW_WAITING] = waiting_columns,
};

#define MAX_COLUMNS 32

/* The columns to show, in their order; `all` ends with a NULL. */
struct choice {
    const struct column *all[MAX_COLUMNS + 1];
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
        if (!column_choose(choice, views[view], output, length))
            return false;
        output += length;
        if (!*output)
            return true;
    }
}

static void usual_choose(struct choice *choice, enum view view,
                         const struct fdset_listing *listing) {
    for (const struct column *column = views[view]; column->fill; column++) {
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

char *view_columns(enum view view) {
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);

    if (!stream)
        refused("fdsetctl", "out of memory");
    for (const struct column *column = views[view]; column->fill; column++)
        fprintf(stream, "%s%s", column == views[view] ? "" : ",", column->table.name);
    if (fclose(stream))
        refused("fdsetctl", "out of memory");
    return text;
}

/* ------------------------------------------------------------------- lines */

static void row_print(struct libscols_table *table, const struct choice *choice, struct row row) {
    struct libscols_line *line = table_line(table);

    for (size_t i = 0; i < choice->count; i++)
        choice->all[i]->fill(&(struct cell){line, i}, &row);
}

static void member_rows(struct libscols_table *table, const struct choice *choice,
                        const struct fdset_info *set) {
    for (size_t i = 0; i < set->member_count; i++)
        row_print(table, choice, (struct row){.set = set, .member = &set->members[i]});
    if (set->member_count == 0)
        row_print(table, choice, (struct row){.set = set});
}

static void lease_rows(struct libscols_table *table, const struct choice *choice,
                       const struct fdset_info *set) {
    for (size_t i = 0; i < set->member_count; i++) {
        struct row row = {.set = set, .member = &set->members[i]};
        for (size_t j = 0; j < row.member->lease_count; j++) {
            row.lease = &row.member->leases[j];
            row_print(table, choice, row);
        }
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
    struct choice choice = {.count = 0};

    if (!output)
        usual_choose(&choice, view, listing);
    else if (!output_parse(&choice, view, output))
        return false;
    struct libscols_table *table = choice_table(&choice, headings);
    for (size_t i = 0; view == VIEW_MEMBERS && i < listing->count; i++)
        member_rows(table, &choice, &listing->sets[i]);
    for (size_t i = 0; view == VIEW_LEASES && i < listing->count; i++)
        lease_rows(table, &choice, &listing->sets[i]);
    for (size_t i = 0; view == VIEW_WAITING && i < listing->waiting_count; i++)
        row_print(table, &choice, (struct row){.waiting = &listing->waiting[i]});
    table_print(table);
    return true;
}

/* SPDX-License-Identifier: MIT */
/* fdsetctl list: what there is and who uses it. */
#include "ask/sources.h"
#include "name.h"
#include "output/json.h"
#include "output/view.h"

static const char help[] =
    "Usage: fdsetctl list [OPTION]... [SET]\n"
    "Show all sets with their members, or one. SET is a number, a name or a path\n"
    "/dev/fdset/NUMBER or /dev/fdset/NAME.\n"
    "\n"
    "  -l, --leases         show which VMM has a member open, one line for each lease\n"
    "  -w, --waiting        show the opens that wait for a member\n"
    "\n"
    "Show only what fits all of these:\n"
    "      --name NAME      the set of this name\n"
    "      --owner LABEL    sets that a manager made under this label\n"
    "      --opaque TEXT    members with this label, exactly\n"
    "      --file PATH      members that are of this file, whatever its path was\n"
    "\n"
    "  -a, --all            of all helpers: by the sockets in /run/fdset-helper and\n"
    "                       $XDG_RUNTIME_DIR/fdset-helper\n"
    "      --directory DIR  of all helpers whose sockets are in DIR or in a directory\n"
    "                       there; may be repeated\n"
    "\n"
    "  -o, --output COLUMNS  these columns, with commas between; see fdsetctl(1)\n"
    "      --values COLUMN  the different values of one column, one on each line, for\n"
    "                       scripts\n"
    "  -j, --json           JSON, with sets, members, leases and totals in one\n"
    "  -n, --no-headings    no line with the columns' names\n" COMMON_OPTIONS_TEXT;

struct list_options {
    struct where where;
    struct fdset_filter filter;
    const char *output, *values, *file;
    enum view view;
    bool leases, waiting, json, no_headings;
};

static void list_options_check(struct list_options *options) {
    if (options->filter.name && !set_name_is_valid(options->filter.name))
        die_usage("--name: '%s' is not a name", options->filter.name);
    if (options->filter.owner && !*options->filter.owner)
        die_usage("--owner: a label cannot be empty");
    if (options->leases && options->waiting)
        die_usage("give either --leases or --waiting, not both");
    if (options->values && (options->json || options->output))
        die_usage("--values goes with neither --output nor --json");
    if (options->json && options->output)
        die_usage("--output is for tables: JSON has everything");
    if (options->waiting && options->file)
        die_usage("--file is for members and leases: an open that waits has no member");
    options->view = options->leases ? VIEW_LEASES : options->waiting ? VIEW_WAITING : VIEW_MEMBERS;
    if (options->output)
        view_check(options->view, options->output);
    if (options->values && !view_has_column(options->view, options->values))
        die_usage("--values: '%s' is not a column; there are %s", options->values,
                  view_columns(options->view));
}

static void list_options_read(struct list_options *options, struct verb_line *line) {
    static const struct verb_option table[] = {
        {"all", no_argument, 'a', offsetof(struct list_options, where.all)},
        {"directory", required_argument, 0, offsetof(struct list_options, where), where_directory},
        {"leases", no_argument, 'l', offsetof(struct list_options, leases)},
        {"waiting", no_argument, 'w', offsetof(struct list_options, waiting)},
        {"name", required_argument, 0, offsetof(struct list_options, filter.name)},
        {"owner", required_argument, 0, offsetof(struct list_options, filter.owner)},
        {"opaque", required_argument, 0, offsetof(struct list_options, filter.opaque)},
        {"file", required_argument, 0, offsetof(struct list_options, file)},
        {"output", required_argument, 'o', offsetof(struct list_options, output)},
        {"values", required_argument, 0, offsetof(struct list_options, values)},
        {"json", no_argument, 'j', offsetof(struct list_options, json)},
        {"no-headings", no_argument, 'n', offsetof(struct list_options, no_headings)},
        {NULL},
    };

    options_read(line, help, table, options);
    list_options_check(options);
    if (line->count > 1)
        die_usage("more than one set given; leave out the set to see all");
    if (line->count > 0 && options->filter.name)
        die_usage("give either a set or --name, not both");
    if (line->count > 0)
        set_argument(line->words[0], &options->filter);
}

/* No helper, or no member of the file, is nothing to list. */
static int is_there(const struct sources *sources, const struct file_id *file) {
    struct member_cursor cursor = {0};
    bool found = file ? sources_next(sources, file, &cursor) != NULL : sources->count > 0;

    return found ? EXIT_DONE : EXIT_NOTHING;
}

static int list_run(struct verb_line *line) {
    struct list_options options = {.output = NULL};
    struct file_id file;

    list_options_read(&options, line);
    if (options.file)
        file = file_id_read(options.file);
    struct sources sources = sources_ask(line, &options.where, &options.filter);
    struct view_request request = {
        .view = options.view,
        .sources = &sources,
        .file = options.file ? &file : NULL,
        .output = options.values ? options.values : options.output,
        .no_headings = options.no_headings,
    };
    if (options.json)
        json_print(sources_json(&sources, request.file));
    else if (options.values)
        view_values_print(&request);
    else
        view_print(&request);
    int code = sources.failed ? EXIT_REFUSED : is_there(&sources, request.file);
    sources_free(&sources);
    return code;
}

const struct verb verb_list = {"list", "show sets, members, leases and waiting opens", list_run};

/* SPDX-License-Identifier: MIT */
/* fdsetctl list: what there is and who uses it. */
#include <stdio.h>
#include <string.h>

#include "base/verb.h"
#include "base/words.h"
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
    const char *name; /* "fdsetctl list" */
    struct where where;
    struct fdset_filter filter;
    const char *output, *values, *file;
    enum view view;
    bool leases, waiting, json, no_headings;
};

/* Options without a short form. */
enum {
    OPTION_NAME = 256,
    OPTION_OWNER,
    OPTION_OPAQUE,
    OPTION_VALUES,
    OPTION_FILE,
    OPTION_DIRECTORY
};

static void filter_read(struct list_options *options, int option, const char *argument) {
    switch (option) {
    case OPTION_NAME:
        if (!set_name_is_valid(argument))
            usage_error(options->name, "--name: '%s' is not a name", argument);
        options->filter.name = argument;
        break;
    case OPTION_OWNER:
        if (!*argument)
            usage_error(options->name, "--owner: a label cannot be empty");
        options->filter.owner = argument;
        break;
    case OPTION_OPAQUE:
        options->filter.opaque = argument;
        break;
    case OPTION_FILE:
        options->file = argument;
        break;
    case 'a':
        options->where.all = true;
        break;
    case OPTION_DIRECTORY:
        where_directory(options->name, &options->where, argument);
        break;
    default:
        common_option(option, argument, &options->where.socket, help);
    }
}

static void option_read(struct list_options *options, int option, const char *argument) {
    switch (option) {
    case 'l':
        options->leases = true;
        break;
    case 'w':
        options->waiting = true;
        break;
    case 'o':
        options->output = argument;
        break;
    case OPTION_VALUES:
        options->values = argument;
        break;
    case 'j':
        options->json = true;
        break;
    case 'n':
        options->no_headings = true;
        break;
    default:
        filter_read(options, option, argument);
    }
}

static void options_check(struct list_options *options) {
    if (options->leases && options->waiting)
        usage_error(options->name, "give either --leases or --waiting, not both");
    if (options->values && (options->json || options->output))
        usage_error(options->name, "--values goes with neither --output nor --json");
    if (options->json && options->output)
        usage_error(options->name, "--output is for tables: JSON has everything");
    where_check(options->name, &options->where);
    if (options->waiting && options->file)
        usage_error(options->name,
                    "--file is for members and leases: an open that waits has no member");
    options->view = options->leases ? VIEW_LEASES : options->waiting ? VIEW_WAITING : VIEW_MEMBERS;
    if (options->output)
        view_check(options->name, options->view, options->output);
    if (options->values && !view_has_column(options->view, options->values))
        usage_error(options->name, "--values: '%s' is not a column; there are %s", options->values,
                    view_columns(options->view));
}

static void options_read(struct list_options *options, int argc, char **argv) {
    static const struct option table[] = {
        {"leases", no_argument, NULL, 'l'},
        {"waiting", no_argument, NULL, 'w'},
        {"name", required_argument, NULL, OPTION_NAME},
        {"owner", required_argument, NULL, OPTION_OWNER},
        {"opaque", required_argument, NULL, OPTION_OPAQUE},
        {"file", required_argument, NULL, OPTION_FILE},
        {"all", no_argument, NULL, 'a'},
        {"directory", required_argument, NULL, OPTION_DIRECTORY},
        {"output", required_argument, NULL, 'o'},
        {"values", required_argument, NULL, OPTION_VALUES},
        {"json", no_argument, NULL, 'j'},
        {"no-headings", no_argument, NULL, 'n'},
        COMMON_OPTIONS,
    };
    int option;

    while ((option = getopt_long(argc, argv, "lwao:jn" COMMON_SHORT_OPTIONS, table, NULL)) >= 0)
        option_read(options, option, optarg);
    if (argc - optind > 1)
        usage_error(argv[0], "more than one set given; leave out the set to see all");
    if (optind < argc && options->filter.name)
        usage_error(argv[0], "give either a set or --name, not both");
    if (optind < argc)
        set_argument(argv[0], argv[optind], &options->filter);
    options_check(options);
}

/* No helper, or no member of the file, is nothing to list. */
static int is_there(const struct sources *sources, const struct file_id *file) {
    struct member_cursor cursor = {0};
    bool found = file ? sources_next(sources, file, &cursor) != NULL : sources->count > 0;

    return found ? EXIT_DONE : EXIT_NOTHING;
}

int command_list(int argc, char **argv, const char *socket) {
    struct list_options options = {.name = argv[0], .where.socket = socket};
    struct file_id file;

    options_read(&options, argc, argv);
    if (options.file)
        file = file_id_read(argv[0], options.file);
    struct sources sources = sources_ask(argv[0], &options.where, &options.filter);
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

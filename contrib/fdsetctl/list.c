/* fdsetctl list: what there is and who uses it. */
#include <stdio.h>
#include <string.h>

#include "fdsetctl.h"
#include "json.h"
#include "name.h"
#include "view.h"
#include "words.h"

static const char help[] =
    "Usage: fdsetctl list [OPTION]... [SET]\n"
    "Show all sets with their members, or one. SET is a number, a name or a path\n"
    "/dev/fdset/NUMBER or /dev/fdset/NAME.\n"
    "\n"
    "  -l, --leases         show who has a member open, one line a lease\n"
    "  -w, --waiting        show the opens that wait for a member\n"
    "\n"
    "Only what fits all of these:\n"
    "      --name NAME      the set of this name\n"
    "      --owner LABEL    sets that were made under this label\n"
    "      --opaque TEXT    members with this label, exactly\n"
    "\n"
    "  -o, --output COLUMNS  these columns, with commas between; see fdsetctl(1)\n"
    "      --values COLUMN  the different values of one column, one a line, for scripts\n"
    "  -j, --json           JSON, with sets, members, leases and totals in one\n"
    "  -n, --no-headings    no line with the columns' names\n" COMMON_OPTIONS_TEXT;

struct list_options {
    const char *name; /* "fdsetctl list" */
    const char *socket;
    struct fdset_filter filter;
    enum view view;
    const char *output, *values;
    bool leases, waiting, json, headings;
};

/* Options without a short form. */
enum { OPTION_NAME = 256, OPTION_OWNER, OPTION_OPAQUE, OPTION_VALUES };

static void filter_read(struct list_options *options, int option, const char *argument) {
    switch (option) {
    case OPTION_NAME:
        if (!set_name_is_valid(argument))
            usage_error(options->name, "--name: '%s' is no name", argument);
        options->filter.name = argument;
        break;
    case OPTION_OWNER:
        if (!*argument)
            usage_error(options->name, "--owner: a label is not empty");
        options->filter.owner = argument;
        break;
    case OPTION_OPAQUE:
        options->filter.opaque = argument;
        break;
    default:
        common_option(option, argument, &options->socket, help);
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
        options->headings = false;
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
    options->view = options->leases ? VIEW_LEASES : options->waiting ? VIEW_WAITING : VIEW_MEMBERS;
    if (options->output && !view_has(options->view, options->output))
        usage_error(options->name, "--output: '%s' is no list of columns; there are %s",
                    options->output, view_columns(options->view));
    if (options->values && !view_has_column(options->view, options->values))
        usage_error(options->name, "--values: '%s' is no column; there are %s", options->values,
                    view_columns(options->view));
}

static void options_read(struct list_options *options, int argc, char **argv) {
    static const struct option table[] = {
        {"leases", no_argument, NULL, 'l'},
        {"waiting", no_argument, NULL, 'w'},
        {"name", required_argument, NULL, OPTION_NAME},
        {"owner", required_argument, NULL, OPTION_OWNER},
        {"opaque", required_argument, NULL, OPTION_OPAQUE},
        {"output", required_argument, NULL, 'o'},
        {"values", required_argument, NULL, OPTION_VALUES},
        {"json", no_argument, NULL, 'j'},
        {"no-headings", no_argument, NULL, 'n'},
        COMMON_OPTIONS,
    };
    int option;

    while ((option = getopt_long(argc, argv, "lwo:jn" COMMON_SHORT_OPTIONS, table, NULL)) >= 0)
        option_read(options, option, optarg);
    if (argc - optind > 1)
        usage_error(argv[0], "more than one set given; leave out the set to see all");
    if (optind < argc && options->filter.name)
        usage_error(argv[0], "give either a set or --name, not both");
    if (optind < argc)
        set_argument(argv[0], argv[optind], &options->filter);
    options_check(options);
}

int command_list(int argc, char **argv, const char *socket) {
    struct list_options options = {.name = argv[0], .socket = socket, .headings = true};
    struct fdset_listing *listing;

    options_read(&options, argc, argv);
    struct fdset_manager *manager = manager_connect(argv[0], options.socket, NULL);
    if (fdset_query_filtered(manager, &options.filter, &listing) < 0)
        refused(argv[0], "%s", fdset_error_text());
    if (options.json)
        json_print(listing_json(listing));
    else if (options.values)
        view_values_print(options.view, listing, options.values);
    else
        view_print(options.view, listing, options.output, options.headings);
    fdset_listing_free(listing);
    fdset_manager_free(manager);
    return EXIT_DONE;
}

/* SPDX-License-Identifier: MIT */
/* fdsetctl who: who has a file open through a helper. */
#include <stdio.h>

#include "ask/file.h"
#include "ask/sources.h"
#include "base/verb.h"
#include "output/json.h"
#include "output/view.h"

static const char help[] =
    "Usage: fdsetctl who [OPTION]... FILE\n"
    "Show which VMMs have leases of FILE, through which member, in which mode and since\n"
    "when. It does not matter by which node a device was opened. The exit status is 3 if\n"
    "no VMM has a lease.\n"
    "\n"
    "  -a, --all            ask all helpers: by the sockets in /run/fdset-helper and\n"
    "                       $XDG_RUNTIME_DIR/fdset-helper\n"
    "      --directory DIR  ask all helpers whose sockets are in DIR or in a directory\n"
    "                       there; may be repeated\n"
    "\n"
    "  -o, --output COLUMNS  these columns, with commas between; see fdsetctl(1)\n"
    "  -j, --json           print JSON\n"
    "  -n, --no-headings    no line with the columns' names\n" COMMON_OPTIONS_TEXT;

#define USUAL "SET,SET-NAME,MEMBER,MODE,NAME,PID,SINCE"

struct who_options {
    struct where where;
    const char *file, *output;
    bool json, no_headings;
};

enum { OPTION_DIRECTORY = 256 };

static void option_read(struct who_options *options, int option, const char *argument,
                        const char *name) {
    switch (option) {
    case 'a':
        options->where.all = true;
        break;
    case OPTION_DIRECTORY:
        where_directory(name, &options->where, argument);
        break;
    case 'o':
        view_check(name, VIEW_LEASES, argument);
        options->output = argument;
        break;
    case 'j':
        options->json = true;
        break;
    case 'n':
        options->no_headings = true;
        break;
    default:
        common_option(option, argument, &options->where.socket, help);
    }
}

static void options_read(struct who_options *options, int argc, char **argv) {
    static const struct option table[] = {
        {"all", no_argument, NULL, 'a'},
        {"directory", required_argument, NULL, OPTION_DIRECTORY},
        {"output", required_argument, NULL, 'o'},
        {"json", no_argument, NULL, 'j'},
        {"no-headings", no_argument, NULL, 'n'},
        COMMON_OPTIONS,
    };
    int option;

    while ((option = getopt_long(argc, argv, "ao:jn" COMMON_SHORT_OPTIONS, table, NULL)) >= 0)
        option_read(options, option, optarg, argv[0]);
    if (argc - optind != 1)
        usage_error(argv[0], optind == argc ? "no file given" : "more than one file given");
    options->file = argv[optind];
    where_check(argv[0], &options->where);
    if (options->json && options->output)
        usage_error(argv[0], "--output is for tables: JSON has everything");
    if (!options->output)
        options->output = options->where.all ? "VM," USUAL : USUAL;
}

static bool is_held(const struct sources *sources, const struct file_id *file) {
    struct member_cursor cursor = {0};
    const struct fdset_member_info *member;

    while ((member = sources_next(sources, file, &cursor)))
        if (member->lease_count)
            return true;
    return false;
}

int command_who(int argc, char **argv, const char *socket) {
    struct who_options options = {.where.socket = socket};

    options_read(&options, argc, argv);
    struct file_id file = file_id_read(argv[0], options.file);
    struct sources sources = sources_ask(argv[0], &options.where, NULL);
    if (options.json)
        json_print(holders_json(&sources, &file));
    else
        view_print(&(struct view_request){
            .view = VIEW_LEASES,
            .sources = &sources,
            .file = &file,
            .output = options.output,
            .no_headings = options.no_headings,
        });
    int code = sources.failed ? EXIT_REFUSED : is_held(&sources, &file) ? EXIT_DONE : EXIT_NOTHING;
    sources_free(&sources);
    return code;
}

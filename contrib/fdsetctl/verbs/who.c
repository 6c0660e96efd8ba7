/* SPDX-License-Identifier: MIT */
/* fdsetctl who: who has a file open through a helper. */
#include "ask/sources.h"
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
    const char *output;
    bool json, no_headings;
};

static void who_options_read(struct who_options *options, struct verb_line *line) {
    static const struct verb_option table[] = {
        {"all", no_argument, 'a', offsetof(struct who_options, where.all)},
        {"directory", required_argument, 0, offsetof(struct who_options, where), where_directory},
        {"output", required_argument, 'o', offsetof(struct who_options, output)},
        {"json", no_argument, 'j', offsetof(struct who_options, json)},
        {"no-headings", no_argument, 'n', offsetof(struct who_options, no_headings)},
        {NULL},
    };

    options_read(line, help, table, options);
    if (options->output)
        view_check(VIEW_LEASES, options->output);
    if (line->count != 1)
        die_usage(line->count == 0 ? "no file given" : "more than one file given");
    if (options->json && options->output)
        die_usage("--output is for tables: JSON has everything");
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

static int who_run(struct verb_line *line) {
    struct who_options options = {.output = NULL};

    who_options_read(&options, line);
    struct file_id file = file_id_read(line->words[0]);
    struct sources sources = sources_ask(line, &options.where, NULL);
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

const struct verb verb_who = {"who", "show which VMMs have a file open", who_run};

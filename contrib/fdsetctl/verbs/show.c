/* SPDX-License-Identifier: MIT */
/* fdsetctl show: one set in full, or how far the helper is locked in. */
#include <stdio.h>

#include "ask/connect.h"
#include "base/words.h"
#include "output/json.h"
#include "output/table.h"
#include "output/view.h"

static const char help[] =
    "Usage: fdsetctl show [OPTION]... SET\n"
    "  or:  fdsetctl show [OPTION]... --sandbox\n"
    "Show a set with its members, its leases and the opens that wait for it; or the\n"
    "stages of the sandbox that the helper is in. SET is a number, a name or a path\n"
    "/dev/fdset/NUMBER or /dev/fdset/NAME.\n"
    "\n"
    "      --sandbox        the sandbox\n"
    "  -j, --json           print JSON\n" COMMON_OPTIONS_TEXT;

struct show_options {
    struct fdset_filter filter;
    bool json;
};

static void show_options_read(struct show_options *options, struct verb_line *line) {
    static const struct verb_option table[] = {
        {"sandbox", no_argument, 0, offsetof(struct show_options, filter.sandbox)},
        {"json", no_argument, 'j', offsetof(struct show_options, json)},
        {NULL},
    };

    options_read(line, help, table, options);
    if (line->count > 1)
        die_usage("more than one set given");
    if ((line->count > 0) == options->filter.sandbox)
        die_usage("give either a set or --sandbox");
    if (line->count > 0)
        set_argument(line->words[0], &options->filter);
}

static void lifetime_line(struct libscols_table *table, const struct fdset_info *set) {
    struct libscols_line *line = table_line(table);
    struct words left = duration_text(set->expires_ms < 0 ? 0 : set->expires_ms);

    table_cell(line, 0, "Lifetime:");
    if (set->expires_ms >= 0)
        table_cell(line, 1, "%s, %s left", lifetime_word(set->lifetime), left.text);
    else if (set->lifetime == FDSET_IDLE)
        table_cell(line, 1, "idle, %s after its last use", duration_text(set->idle_ms).text);
    else if (set->orphaned)
        table_cell(line, 1, "%s, over: it goes with its last lease", lifetime_word(set->lifetime));
    else if (set->grace_ms)
        table_cell(line, 1, "%s, and %s after it", lifetime_word(set->lifetime),
                   duration_text(set->grace_ms).text);
    else
        table_cell(line, 1, "%s", lifetime_word(set->lifetime));
}

static void set_print(const struct fdset_info *set) {
    static const struct table_column columns[] = {{"FIELD"}, {"VALUE"}, {NULL}};
    struct libscols_table *table = table_new(columns, false);

    table_field(table, "Set", "%d", set->set);
    table_field(table, "Path", "/dev/fdset/%d", set->set);
    if (set->name) {
        table_field(table, "Name", "%s", set->name);
        table_field(table, "Path by name", "/dev/fdset/%s", set->name);
    }
    table_field(table, "Owner", "%s (uid %u)", set->owner ? set->owner : "-",
                (unsigned)set->owner_uid);
    lifetime_line(table, set);
    table_field(table, "Files", "%s", set->mixed ? "mixed" : "one");
    table_field(table, "Holds", "%u", set->holds);
    table_print(table);
}

static void table_of_set_print(enum view view, struct fdset_listing *listing, const char *output) {
    struct helper_source source = {.listing = listing};
    struct sources sources = {.all = &source, .count = 1};

    view_print(&(struct view_request){.view = view, .sources = &sources, .output = output});
}

static void listing_print(struct fdset_listing *listing) {
    const struct fdset_info *set = &listing->sets[0];
    size_t leases = 0;

    for (size_t i = 0; i < set->member_count; i++)
        leases += set->members[i].lease_count;
    set_print(set);
    if (set->member_count) {
        puts("");
        table_of_set_print(VIEW_MEMBERS, listing,
                           "MEMBER,MODE,FLAGS,STATE,AGE,TYPE,DEVICE-NUMBER,DEVICE,INODE,OPAQUE");
    }
    if (leases) {
        puts("");
        table_of_set_print(VIEW_LEASES, listing, "LEASE,MEMBER,MODE,FLAGS,AGE,PID,NAME");
    }
    if (listing->waiting_count) {
        puts("");
        table_of_set_print(VIEW_WAITING, listing, NULL);
    }
}

static void sandbox_print(const struct fdset_listing *listing) {
    static const struct table_column columns[] = {{"STAGE"}, {"WHOLE"}, {"DETAIL"}, {NULL}};
    struct libscols_table *table = table_new(columns, true);

    for (size_t i = 0; i < listing->sandbox_count; i++) {
        const struct fdset_sandbox_info *stage = &listing->sandbox[i];
        struct libscols_line *line = table_line(table);
        table_cell(line, 0, "%s", stage->name);
        table_cell(line, 1, "%s", stage->whole ? "yes" : "no");
        table_cell(line, 2, "%s", stage->detail && *stage->detail ? stage->detail : "-");
    }
    table_print(table);
}

static int show_run(struct verb_line *line) {
    struct show_options options = {.json = false};
    struct fdset_listing *listing;

    show_options_read(&options, line);
    struct fdset_manager *manager = manager_connect(line, NULL);
    if (fdset_query_filtered(manager, &options.filter, &listing) < 0)
        die("%s", fdset_error_text());
    if (options.filter.sandbox && options.json)
        json_print(sandbox_json(listing));
    else if (options.filter.sandbox)
        sandbox_print(listing);
    else if (listing->count == 0)
        die("the set has gone");
    else if (options.json)
        json_print(listing_set_json(listing));
    else
        listing_print(listing);
    fdset_listing_free(listing);
    fdset_manager_free(manager);
    return EXIT_DONE;
}

const struct verb verb_show = {"show", "show one set in full, or the helper's sandbox", show_run};

/* SPDX-License-Identifier: MIT */
/* fdsetctl remove: no new lease of these members from now on. */
#include <stdio.h>
#include <stdlib.h>

#include "base/plain.h"
#include "base/verb.h"
#include "base/words.h"
#include "number.h"
#include "output/json.h"

static const char help[] =
    "Usage: fdsetctl remove [OPTION]... SET [MEMBER]\n"
    "Take one member out of a set, or all. SET is a number, a name or a path\n"
    "/dev/fdset/NUMBER or /dev/fdset/NAME. What a VMM has open stays open, and this\n"
    "command says so. All else is closed when this command ends: the file can then be\n"
    "unmounted, detached or deleted. The exit status is 4 if the time was over first.\n"
    "\n"
    "      --timeout SECONDS\n"
    "                       wait so long for the close; default: 10\n"
    "      --no-wait        do not wait\n"
    "  -j, --json           print JSON\n" COMMON_OPTIONS_TEXT;

struct remove_options {
    const char *name; /* "fdsetctl remove" */
    const char *socket;
    struct fdset_filter filter;
    uint32_t member;
    uint32_t wait_ms;
    bool no_wait, timeout, json;
};

enum { OPTION_NO_WAIT = 256, OPTION_TIMEOUT };

#define WAIT_MS_DEFAULT 10000
#define WAIT_MS_MAX     3600000

static void option_read(struct remove_options *options, int option, const char *argument) {
    switch (option) {
    case OPTION_NO_WAIT:
        options->no_wait = true;
        break;
    case OPTION_TIMEOUT:
        if (!seconds_parse(argument, &options->wait_ms) || options->wait_ms > WAIT_MS_MAX)
            usage_error(options->name,
                        "--timeout: '%s' is not a time up to an hour: give seconds from 1, or a "
                        "number with ms, s or min",
                        argument);
        options->timeout = true;
        break;
    case 'j':
        options->json = true;
        break;
    default:
        common_option(option, argument, &options->socket, help);
    }
}

static void options_read(struct remove_options *options, int argc, char **argv) {
    static const struct option table[] = {
        {"no-wait", no_argument, NULL, OPTION_NO_WAIT},
        {"timeout", required_argument, NULL, OPTION_TIMEOUT},
        {"json", no_argument, NULL, 'j'},
        COMMON_OPTIONS,
    };
    int option;

    while ((option = getopt_long(argc, argv, "j" COMMON_SHORT_OPTIONS, table, NULL)) >= 0)
        option_read(options, option, optarg);
    if (optind == argc)
        usage_error(argv[0], "no set given");
    if (argc - optind > 2)
        usage_error(argv[0], "too many arguments: one set, and one member or none");
    if (options->no_wait && options->timeout)
        usage_error(argv[0], "give either --no-wait or --timeout, not both");
    set_argument(argv[0], argv[optind], &options->filter);
    if (argc - optind == 2 &&
        (!number32_parse(argv[optind + 1], UINT32_MAX, &options->member) || !options->member))
        usage_error(argv[0], "'%s' is not a member: give its number from 'fdsetctl list'",
                    argv[optind + 1]);
}

/* A set of a name must be asked for. Should the name be another set's by the
 * time of the removal, the one that was found goes, or there is none. */
static int set_find(const char *name, struct fdset_manager *manager,
                    const struct fdset_filter *filter) {
    struct fdset_listing *listing;

    if (filter->by_set)
        return filter->set;
    if (fdset_query_filtered(manager, filter, &listing) < 0 || listing->count == 0)
        refused(name, "%s", fdset_error_text());
    int set = listing->sets[0].set;
    fdset_listing_free(listing);
    return set;
}

/* What is left of it, as far as it is still there. */
static struct fdset_listing *rest_find(struct fdset_manager *manager, int set) {
    struct fdset_listing *listing;

    return fdset_query(manager, set, &listing) < 0 ? NULL : listing;
}

static bool was_removed(const struct remove_options *options,
                        const struct fdset_member_info *member) {
    return member->state != FDSET_MEMBER_LISTED &&
           (!options->member || member->member == options->member);
}

typedef void each_lease(void *context, const struct fdset_lease_info *lease);

static void leases_visit(const struct remove_options *options, const struct fdset_listing *rest,
                         each_lease *each, void *context) {
    for (size_t i = 0; rest && rest->count && i < rest->sets[0].member_count; i++) {
        const struct fdset_member_info *member = &rest->sets[0].members[i];
        for (size_t j = 0; was_removed(options, member) && j < member->lease_count; j++)
            each(context, &member->leases[j]);
    }
}

static void holder_print(void *context, const struct fdset_lease_info *lease) {
    const char **separator = context;
    char *name = plain_text(lease->name);

    fprintf(stderr, "%s%s (pid %s)", *separator, name, pid_text(lease->pid).text);
    *separator = ", ";
    free(name);
}

/* Waited for in vain. While there are leases nothing is waited for. */
static bool is_late(const struct remove_options *options, const struct fdset_removed *removed) {
    return removed->closing && !removed->leases && !options->no_wait;
}

static void removed_print(const struct remove_options *options, const char *set,
                          const struct fdset_removed *removed, const struct fdset_listing *rest) {
    const char *separator = ": ";

    if (removed->members)
        printf("/dev/fdset/%s: %u member%s removed\n", set, removed->members,
               removed->members == 1 ? "" : "s");
    else
        printf("/dev/fdset/%s: removed before%s\n", set, removed->leases ? ", still in use" : "");
    fflush(stdout);
    if (removed->leases) {
        fprintf(stderr, "%s: it stays open, %u lease%s live", options->name, removed->leases,
                removed->leases == 1 ? " is" : "s are");
        leases_visit(options, rest, holder_print, &separator);
        fputc('\n', stderr);
    }
    if (is_late(options, removed))
        complain(options->name, "%u member%s not closed yet: the file system takes its time",
                 removed->closing, removed->closing == 1 ? " is" : "s are");
}

static void holder_add(void *context, const struct fdset_lease_info *lease) {
    json_array_append_new(context, lease_json(lease));
}

static json_t *removed_json(const struct remove_options *options, int set,
                            const struct fdset_removed *removed, const struct fdset_listing *rest) {
    json_t *holders = json_array();

    leases_visit(options, rest, holder_add, holders);
    return json_pack("{s:i, s:I, s:I, s:I, s:o}", "set", set, "removed",
                     (json_int_t)removed->members, "leases", (json_int_t)removed->leases, "closing",
                     (json_int_t)removed->closing, "holders", holders);
}

int command_remove(int argc, char **argv, const char *socket) {
    struct remove_options options = {.name = argv[0], .socket = socket, .wait_ms = WAIT_MS_DEFAULT};
    struct fdset_removed removed;
    char number[16];

    options_read(&options, argc, argv);
    struct fdset_manager *manager = manager_connect(argv[0], options.socket, NULL);
    int set = set_find(argv[0], manager, &options.filter);
    if (fdset_remove_wait(manager, set, options.member, options.no_wait ? 0 : options.wait_ms,
                          &removed) < 0)
        refused(argv[0], "%s", fdset_error_text());
    struct fdset_listing *rest = removed.leases ? rest_find(manager, set) : NULL;
    snprintf(number, sizeof number, "%d", set);
    if (options.json)
        json_print(removed_json(&options, set, &removed, rest));
    else
        removed_print(&options, options.filter.name ? options.filter.name : number, &removed, rest);
    fdset_listing_free(rest);
    fdset_manager_free(manager);
    return is_late(&options, &removed) ? EXIT_LATE : EXIT_DONE;
}

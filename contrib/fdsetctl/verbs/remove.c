/* SPDX-License-Identifier: MIT */
/* fdsetctl remove: no new lease of these members from now on. */
#include <fdset/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask/connect.h"
#include "base/words.h"
#include "common/memory.h"
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
    struct fdset_filter filter;
    uint32_t member;     /* 0: all */
    uint32_t timeout_ms; /* 0: the usual */
    bool no_wait, json;
};

static void timeout_option(void *place, const char *name, const char *argument) {
    uint32_t *milliseconds = place;

    if (!seconds_parse(argument, milliseconds) || *milliseconds > FDSET_MAX_WAIT_MS)
        die_usage("--%s: '%s' is not a time up to an hour: give seconds "
                  "from 1, or a number with ms, s or min",
                  name, argument);
}

static void remove_options_read(struct remove_options *options, struct verb_line *line) {
    static const struct verb_option table[] = {
        {"no-wait", no_argument, 0, offsetof(struct remove_options, no_wait)},
        {"timeout", required_argument, 0, offsetof(struct remove_options, timeout_ms),
         timeout_option},
        {"json", no_argument, 'j', offsetof(struct remove_options, json)},
        {NULL},
    };

    options_read(line, help, table, options);
    if (line->count == 0)
        die_usage("no set given");
    if (line->count > 2)
        die_usage("too many arguments: one set, and one member or none");
    if (options->no_wait && options->timeout_ms)
        die_usage("give either --no-wait or --timeout, not both");
    set_argument(line->words[0], &options->filter);
    if (line->count == 2 &&
        (!number32_parse(line->words[1], UINT32_MAX, &options->member) || options->member == 0))
        die_usage("'%s' is not a member: give its number from 'fdsetctl list'", line->words[1]);
}

/* A set of a name must be asked for. Should the name be another set's by the
 * time of the removal, the one that was found goes, or there is none. */
static int set_find(struct fdset_manager *manager, const struct fdset_filter *filter) {
    struct fdset_listing *listing;

    if (filter->by_set)
        return filter->set;
    if (fdset_query_filtered(manager, filter, &listing) < 0 || listing->count == 0)
        die("%s", fdset_error_text());
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

static void holder_tell(void *context, const struct fdset_lease_info *lease) {
    fprintf(context, ", %s (pid %s)", lease->name, pid_text(lease->pid).text);
}

static void holders_complain(const struct remove_options *options, unsigned leases,
                             const struct fdset_listing *rest) {
    struct text_stream holders;

    text_stream_begin(&holders);
    leases_visit(options, rest, holder_tell, holders.stream);
    char *text = text_stream_end(&holders);
    complain("it stays open, %u lease%s live%s%s", leases, leases == 1 ? " is" : "s are",
             *text ? ": " : "", *text ? text + strlen(", ") : "");
    free(text);
}

/* Waited for in vain. While there are leases nothing is waited for. */
static bool is_late(const struct remove_options *options, const struct fdset_removed *removed) {
    return removed->closing && !removed->leases && !options->no_wait;
}

static void removed_print(const struct remove_options *options, const char *set,
                          const struct fdset_removed *removed, const struct fdset_listing *rest) {
    if (removed->members)
        printf("/dev/fdset/%s: %u member%s removed\n", set, removed->members,
               removed->members == 1 ? "" : "s");
    else
        printf("/dev/fdset/%s: removed before%s\n", set, removed->leases ? ", still in use" : "");
    fflush(stdout);
    if (removed->leases)
        holders_complain(options, removed->leases, rest);
    if (is_late(options, removed))
        complain("%u member%s not closed yet: the file system takes its time", removed->closing,
                 removed->closing == 1 ? " is" : "s are");
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

static int remove_run(struct verb_line *line) {
    struct remove_options options = {.member = 0};
    struct fdset_removed removed;
    char number[16];

    remove_options_read(&options, line);
    struct fdset_manager *manager = manager_connect(line, NULL);
    int set = set_find(manager, &options.filter);
    uint32_t wait_ms = options.timeout_ms ? options.timeout_ms : FDSET_REMOVE_WAIT_MS;
    if (fdset_remove_wait(manager, set, options.member, options.no_wait ? 0 : wait_ms, &removed) <
        0)
        die("%s", fdset_error_text());
    struct fdset_listing *rest = removed.leases ? rest_find(manager, set) : NULL;
    snprintf(number, sizeof(number), "%d", set);
    if (options.json)
        json_print(removed_json(&options, set, &removed, rest));
    else
        removed_print(&options, options.filter.name ? options.filter.name : number, &removed, rest);
    fdset_listing_free(rest);
    fdset_manager_free(manager);
    return is_late(&options, &removed) ? EXIT_LATE : EXIT_DONE;
}

const struct verb verb_remove = {"remove", "take members out of a set", remove_run};

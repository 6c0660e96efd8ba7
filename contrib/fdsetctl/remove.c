/* fdsetctl remove: no new lease of these members from now on. */
#include <stdio.h>

#include "fdsetctl.h"
#include "words.h"

static const char help[] =
    "Usage: fdsetctl remove [OPTION]... SET [MEMBER]\n"
    "Take one member out of a set, or all. SET is a number, a name or a path\n"
    "/dev/fdset/NUMBER or /dev/fdset/NAME.\n"
    "What the virtual machine has open stays open until it closes it.\n"
    "\n" COMMON_OPTIONS_TEXT;

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

static void removed_print(const char *set, int removed) {
    if (removed)
        printf("/dev/fdset/%s: %d member%s removed\n", set, removed, removed == 1 ? "" : "s");
    else
        printf("/dev/fdset/%s: removed before, still in use\n", set);
}

int command_remove(int argc, char **argv, const char *socket) {
    static const struct option table[] = {COMMON_OPTIONS};
    struct fdset_filter filter = {.by_set = false};
    uint32_t member = 0;
    char number[16];
    int option;

    while ((option = getopt_long(argc, argv, COMMON_SHORT_OPTIONS, table, NULL)) >= 0)
        common_option(option, optarg, &socket, help);
    if (optind == argc)
        usage_error(argv[0], "no set given");
    if (argc - optind > 2)
        usage_error(argv[0], "too many arguments: one set, and one member or none");
    set_argument(argv[0], argv[optind], &filter);
    if (argc - optind == 2 && (!number_parse(argv[optind + 1], UINT32_MAX, &member) || !member))
        usage_error(argv[0], "'%s' is no member: give its number from 'fdsetctl list'",
                    argv[optind + 1]);

    struct fdset_manager *manager = manager_connect(argv[0], socket, NULL);
    int set = set_find(argv[0], manager, &filter);
    int removed = fdset_remove(manager, set, member);
    if (removed < 0)
        refused(argv[0], "%s", fdset_error_text());
    snprintf(number, sizeof number, "%d", set);
    removed_print(filter.name ? filter.name : number, removed);
    fdset_manager_free(manager);
    return EXIT_DONE;
}

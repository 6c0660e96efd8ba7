/* fdsetctl remove: no new lease of these members from now on. */
#include <stdio.h>

#include "fdsetctl.h"
#include "words.h"

static const char help[] =
    "Usage: fdsetctl remove [OPTION]... SET [MEMBER]\n"
    "Take one member out of a set, or all. SET is a number or /dev/fdset/N.\n"
    "What the virtual machine has open stays open until it closes it.\n"
    "\n" COMMON_OPTIONS_TEXT;

int command_remove(int argc, char **argv, const char *socket) {
    static const struct option table[] = {COMMON_OPTIONS};
    uint32_t member = 0;
    int option, set;

    while ((option = getopt_long(argc, argv, COMMON_SHORT_OPTIONS, table, NULL)) >= 0)
        common_option(option, optarg, &socket, help);
    if (optind == argc)
        usage_error(argv[0], "no set given");
    if (argc - optind > 2)
        usage_error(argv[0], "too many arguments: one set, and one member or none");
    if (!set_parse(argv[optind], &set))
        usage_error(argv[0], "'%s' is no set: give a number or /dev/fdset/NUMBER", argv[optind]);
    if (argc - optind == 2 && (!number_parse(argv[optind + 1], UINT32_MAX, &member) || !member))
        usage_error(argv[0], "'%s' is no member: give its number from 'fdsetctl list'",
                    argv[optind + 1]);

    struct fdset_manager *manager = manager_connect(argv[0], socket);
    int removed = fdset_remove(manager, set, member);
    if (removed < 0)
        refused(argv[0], "%s", fdset_error_text());
    if (removed)
        printf("/dev/fdset/%d: %d member%s removed\n", set, removed, removed == 1 ? "" : "s");
    else
        printf("/dev/fdset/%d: removed before, still in use\n", set);
    fdset_manager_free(manager);
    return EXIT_DONE;
}

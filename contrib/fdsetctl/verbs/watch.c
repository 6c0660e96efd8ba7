/* SPDX-License-Identifier: MIT */
/* fdsetctl watch: what happens, as it happens. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ask/connect.h"
#include "ask/names.h"
#include "base/verb.h"
#include "base/words.h"
#include "number.h"
#include "output/event.h"
#include "output/journal.h"
#include "output/json.h"

static const char help[] =
    "Usage: fdsetctl watch [OPTION]...\n"
    "Print what happens, one line for each event, until SIGINT or SIGTERM.\n"
    "\n"
    "  -k, --kinds KINDS    these kinds, with commas between: added, removed, opened,\n"
    "                       closed, denied, wanted, set-gone, vmm-connected, vmm-gone,\n"
    "                       settle-stuck; default: all but opened, closed and denied\n"
    "  -a, --all            all kinds\n"
    "  -c, --count N        end after N events\n"
    "  -r, --ready          print the line \"ready\" first: all that happens after it is\n"
    "                       printed\n"
    "\n"
    "  -o, --output COLUMNS these columns, with commas between; default: TIME,TEXT\n"
    "  -j, --json           print each event as one line of JSON\n"
    "      --journal[=SOCKET]\n"
    "                       print nothing, but make an entry of each event in the journal\n"
    "      --vm NAME        what to call the virtual machine; default: the name of the\n"
    "                       socket's directory\n" COMMON_OPTIONS_TEXT;

struct watch_options {
    const char *name; /* "fdsetctl watch" */
    const char *socket;
    uint32_t kinds; /* 0: the usual */
    uint32_t count; /* 0: for ever */
    const char *output, *journal, *vm;
    bool all, ready, json;
};

/* Options without a short form. */
enum { OPTION_JOURNAL = 256, OPTION_VM };

static void option_read(struct watch_options *options, int option, const char *argument) {
    switch (option) {
    case 'k':
        if (!kinds_parse(argument, &options->kinds))
            usage_error(options->name, "--kinds: '%s' is not a list of kinds; there are %s",
                        argument, kinds_text());
        break;
    case 'a':
        options->all = true;
        break;
    case 'c':
        if (!number32_parse(argument, UINT32_MAX, &options->count) || !options->count)
            usage_error(options->name, "--count: '%s' is not a number from 1", argument);
        break;
    case 'r':
        options->ready = true;
        break;
    case 'o':
        if (!event_columns_valid(argument))
            usage_error(options->name, "--output: '%s' is not a list of columns; there are %s",
                        argument, event_columns());
        options->output = argument;
        break;
    case 'j':
        options->json = true;
        break;
    case OPTION_JOURNAL:
        options->journal = argument ? argument : JOURNAL_SOCKET;
        break;
    case OPTION_VM:
        options->vm = argument;
        break;
    default:
        common_option(option, argument, &options->socket, help);
    }
}

static void options_read(struct watch_options *options, int argc, char **argv) {
    static const struct option table[] = {
        {"kinds", required_argument, NULL, 'k'},
        {"all", no_argument, NULL, 'a'},
        {"count", required_argument, NULL, 'c'},
        {"ready", no_argument, NULL, 'r'},
        {"json", no_argument, NULL, 'j'},
        {"output", required_argument, NULL, 'o'},
        {"journal", optional_argument, NULL, OPTION_JOURNAL},
        {"vm", required_argument, NULL, OPTION_VM},
        COMMON_OPTIONS,
    };
    int option;

    while ((option = getopt_long(argc, argv, "k:ac:rjo:" COMMON_SHORT_OPTIONS, table, NULL)) >= 0)
        option_read(options, option, optarg);
    if (optind < argc)
        usage_error(argv[0], "too many arguments: '%s'", argv[optind]);
    if (options->all && options->kinds)
        usage_error(argv[0], "give either --all or --kinds, not both");
    if (!!options->output + options->json + !!options->journal > 1)
        usage_error(argv[0], "give one of --output, --json and --journal");
    if (options->journal && options->ready)
        usage_error(argv[0], "--ready is for what is printed, and --journal prints nothing");
    if (!options->output)
        options->output = "TIME,TEXT";
    if (options->all)
        options->kinds = kinds_all();
}

static void end(int signal) {
    (void)signal;
    _exit(EXIT_DONE); /* each line was written when it was whole */
}

/* They must end it also where it waits: for a helper, or for who reads its output and
 * does not. */
static void signals_take(void) {
    signal(SIGINT, end);
    signal(SIGTERM, end);
    signal(SIGPIPE, SIG_IGN);
}

/* Returns false once it is time to end: who reads the output has gone. */
static bool event_wait(const struct watch_options *options, struct fdset_manager *manager) {
    struct pollfd polled[] = {
        {.fd = fdset_manager_socket(manager), .events = POLLIN},
        {.fd = STDOUT_FILENO},
    };

    while (poll(polled, sizeof polled / sizeof *polled, -1) < 0)
        if (errno != EINTR)
            refused(options->name, "poll: %s", strerror(errno));
    return !polled[1].revents;
}

/* Told by default, and needed to know what sets are called. */
#define KINDS_USUAL                                                                \
    (~(FDSET_EVENT_BIT(FDSET_EVENT_OPENED) | FDSET_EVENT_BIT(FDSET_EVENT_CLOSED) | \
       FDSET_EVENT_BIT(FDSET_EVENT_DENIED)))
#define KINDS_OF_NAMES (FDSET_EVENT_BIT(FDSET_EVENT_ADDED) | FDSET_EVENT_BIT(FDSET_EVENT_SET_GONE))

static bool names_wanted(const struct watch_options *options) {
    return options->json || options->journal || strcasestr(options->output, "SET-NAME");
}

/* A reader must have each line at once. One that has gone, as event_wait() might
 * have seen before, has had enough. */
static void line_flush(const struct watch_options *options) {
    if (fflush(stdout) == 0)
        return;
    if (errno == EPIPE)
        _exit(EXIT_DONE);
    refused(options->name, "cannot write to standard output");
}

static void event_tell(const struct watch_options *options, struct fdset_manager *names,
                       const struct fdset_event *event) {
    struct told told = {.event = event, .vm = options->vm};

    if (names)
        told.set_name = set_name_of(names, event);
    if (options->journal)
        journal_send(&told);
    else if (options->json)
        json_print_line(event_json(&told));
    else
        event_print(&told, options->output);
    line_flush(options);
}

/* Kinds that are not asked for may be needed for the names of sets. They are not told,
 * but what was lost before them is. A kind that has no bit yet is a usual one. */
static bool is_asked_for(const struct watch_options *options, struct fdset_manager *names,
                         struct fdset_event *event) {
    static uint64_t lost;
    uint32_t kinds = options->kinds ? options->kinds : KINDS_USUAL;
    size_t kind = event->kind;
    bool asked = kind < 32 ? kinds & FDSET_EVENT_BIT(kind) : !options->kinds;

    event->lost += lost;
    lost = asked ? 0 : event->lost;
    if (!asked && names)
        set_name_of(names, event);
    return asked;
}

static void watch(const struct watch_options *options, struct fdset_manager *manager,
                  struct fdset_manager *names) {
    struct fdset_event event;
    uint32_t told = 0;

    do {
        int result;
        while ((result = fdset_next_event(manager, &event, 0)) > 0) {
            if (!is_asked_for(options, names, &event))
                continue;
            event_tell(options, names, &event);
            if (++told == options->count)
                return;
        }
        if (result == -ECONNRESET)
            refused(options->name, "fdset-helper has ended: %s", fdset_error_text());
        if (result < 0)
            refused(options->name, "%s", fdset_error_text());
    } while (event_wait(options, manager));
}

int command_watch(int argc, char **argv, const char *socket) {
    struct watch_options options = {.name = argv[0], .socket = socket};

    options_read(&options, argc, argv);
    signals_take();
    struct fdset_manager *manager = manager_connect(argv[0], options.socket, NULL);
    char *vm = vm_name(options.socket);
    if (!options.vm)
        options.vm = vm;
    if (options.journal)
        journal_open(argv[0], options.journal);
    uint32_t kinds = options.kinds;
    if (kinds && names_wanted(&options))
        kinds |= KINDS_OF_NAMES;
    if (fdset_subscribe(manager, kinds) < 0)
        refused(argv[0], "%s", fdset_error_text());
    struct fdset_manager *names =
        names_wanted(&options) ? manager_connect(argv[0], options.socket, NULL) : NULL;
    if (names)
        set_names_begin(names);
    if (options.ready) {
        puts("ready");
        line_flush(&options);
    }
    watch(&options, manager, names);
    free(vm);
    fdset_manager_free(names);
    fdset_manager_free(manager);
    return EXIT_DONE;
}

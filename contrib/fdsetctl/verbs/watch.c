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
#include "number.h"
#include "output/event.h"
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
    uint32_t kinds; /* 0: the usual */
    uint32_t count; /* 0: for ever */
    const char *output, *journal, *vm;
    bool all, ready, json;
};

static void kinds_option(void *place, const char *name, const char *argument) {
    if (!kinds_parse(argument, place))
        die_usage("--%s: '%s' is not a list of kinds; there are %s", name, argument, kinds_text());
}

static void count_option(void *place, const char *name, const char *argument) {
    uint32_t *count = place;

    if (!number32_parse(argument, UINT32_MAX, count) || *count == 0)
        die_usage("--%s: '%s' is not a number from 1", name, argument);
}

static void columns_option(void *place, const char *name, const char *argument) {
    if (!event_columns_valid(argument))
        die_usage("--%s: '%s' is not a list of columns; there are %s", name, argument,
                  event_columns());
    *(const char **)place = argument;
}

static void journal_option(void *place, const char *name, const char *argument) {
    *(const char **)place = argument ? argument : JOURNAL_SOCKET;
}

static void watch_options_read(struct watch_options *options, struct verb_line *line) {
    static const struct verb_option table[] = {
        {"kinds", required_argument, 'k', offsetof(struct watch_options, kinds), kinds_option},
        {"all", no_argument, 'a', offsetof(struct watch_options, all)},
        {"count", required_argument, 'c', offsetof(struct watch_options, count), count_option},
        {"ready", no_argument, 'r', offsetof(struct watch_options, ready)},
        {"json", no_argument, 'j', offsetof(struct watch_options, json)},
        {"output", required_argument, 'o', offsetof(struct watch_options, output), columns_option},
        {"journal", optional_argument, 0, offsetof(struct watch_options, journal), journal_option},
        {"vm", required_argument, 0, offsetof(struct watch_options, vm)},
        {NULL},
    };

    options_read(line, help, table, options);
    no_operands(line);
    if (options->all && options->kinds)
        die_usage("give either --all or --kinds, not both");
    if (!!options->output + options->json + !!options->journal > 1)
        die_usage("give one of --output, --json and --journal");
    if (options->journal && options->ready)
        die_usage("--ready is for what is printed, and --journal prints nothing");
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
static bool event_wait(struct fdset_manager *manager) {
    struct pollfd polled[] = {
        {.fd = fdset_manager_socket(manager), .events = POLLIN},
        {.fd = STDOUT_FILENO},
    };

    while (poll(polled, sizeof(polled) / sizeof(polled[0]), -1) < 0)
        if (errno != EINTR)
            die("poll: %s", strerror(errno));
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
static void line_flush(void) {
    if (fflush(stdout) == 0)
        return;
    if (errno == EPIPE)
        _exit(EXIT_DONE);
    die("cannot write to standard output");
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
    line_flush();
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
            die("fdset-helper has ended: %s", fdset_error_text());
        if (result < 0)
            die("%s", fdset_error_text());
    } while (event_wait(manager));
}

static int watch_run(struct verb_line *line) {
    struct watch_options options = {.count = 0};

    watch_options_read(&options, line);
    signals_take();
    struct fdset_manager *manager = manager_connect(line, NULL), *names = NULL;
    char *vm = vm_name(socket_path(line));
    if (!options.vm)
        options.vm = vm;
    if (options.journal)
        journal_open(options.journal);
    uint32_t kinds = options.kinds;
    if (kinds && names_wanted(&options))
        kinds |= KINDS_OF_NAMES;
    if (fdset_subscribe(manager, kinds) < 0)
        die("%s", fdset_error_text());
    if (names_wanted(&options)) {
        names = manager_connect(line, NULL);
        set_names_begin(names);
    }
    if (options.ready) {
        puts("ready");
        line_flush();
    }
    watch(&options, manager, names);
    free(vm);
    fdset_manager_free(names);
    fdset_manager_free(manager);
    return EXIT_DONE;
}

const struct verb verb_watch = {"watch", "print what happens, as it happens", watch_run};

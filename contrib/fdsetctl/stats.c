/* fdsetctl stats: the helper's totals, for people and for monitoring. */
#include <inttypes.h>
#include <stdio.h>

#include "fdsetctl.h"
#include "json.h"
#include "table.h"
#include "totals.h"
#include "words.h"

static const char help[] =
    "Usage: fdsetctl stats [OPTION]...\n"
    "Show how much there is of everything, and has been in the helper's life.\n"
    "\n"
    "  -j, --json           print JSON\n"
    "      --openmetrics    print OpenMetrics text, for a collector\n"
    "  -n, --no-headings    no line with the columns' names\n" COMMON_OPTIONS_TEXT;

struct stats_options {
    const char *socket;
    bool json, openmetrics, headings;
};

enum { OPTION_OPENMETRICS = 256 };

static void options_read(struct stats_options *options, int argc, char **argv) {
    static const struct option table[] = {
        {"json", no_argument, NULL, 'j'},
        {"openmetrics", no_argument, NULL, OPTION_OPENMETRICS},
        {"no-headings", no_argument, NULL, 'n'},
        COMMON_OPTIONS,
    };
    int option;

    while ((option = getopt_long(argc, argv, "jn" COMMON_SHORT_OPTIONS, table, NULL)) >= 0) {
        switch (option) {
        case 'j':
            options->json = true;
            break;
        case OPTION_OPENMETRICS:
            options->openmetrics = true;
            break;
        case 'n':
            options->headings = false;
            break;
        default:
            common_option(option, optarg, &options->socket, help);
        }
    }
    if (optind < argc)
        usage_error(argv[0], "too many arguments: '%s'", argv[optind]);
    if (options->json && options->openmetrics)
        usage_error(argv[0], "give either --json or --openmetrics, not both");
}

static void table_of_totals_print(const struct fdset_totals *totals, bool headings) {
    static const struct table_column columns[] = {{"NAME"}, {"VALUE", true}, {"MEANING"}, {NULL}};
    struct libscols_table *table = table_new(columns, headings);
    const struct total *total;

    for (size_t i = 0; (total = total_at(i)); i++) {
        struct libscols_line *line = table_line(table);
        table_cell(line, 0, "%s", total->name);
        table_cell(line, 1, "%" PRIu64, total_value(total, totals));
        table_cell(line, 2, "%s", total->help);
    }
    table_print(table);
}

/* As "OpenMetrics, a cloud-native, highly scalable metrics protocol" 1.0 has it:
 * a time is in seconds, and a counter's sample has a suffix that its name lacks. */
static void metric_print(const struct total *total, uint64_t value) {
    static const char prefix[] = "fdset_helper_";

    if (total->type == TOTAL_TIME) {
        printf("# HELP %suptime_seconds %s.\n", prefix, total->help);
        printf("# TYPE %suptime_seconds gauge\n", prefix);
        printf("# UNIT %suptime_seconds seconds\n", prefix);
        printf("%suptime_seconds %" PRIu64 ".%03u\n", prefix, value / 1000,
               (unsigned)(value % 1000));
        return;
    }
    bool counter = total->type == TOTAL_COUNTER;
    printf("# HELP %s%s %s.\n", prefix, total->name, total->help);
    printf("# TYPE %s%s %s\n", prefix, total->name, counter ? "counter" : "gauge");
    printf("%s%s%s %" PRIu64 "\n", prefix, total->name, counter ? "_total" : "", value);
}

static void metrics_print(const struct fdset_totals *totals) {
    const struct total *total;

    for (size_t i = 0; (total = total_at(i)); i++)
        metric_print(total, total_value(total, totals));
    puts("# EOF");
}

int command_stats(int argc, char **argv, const char *socket) {
    struct stats_options options = {.socket = socket, .headings = true};
    struct fdset_listing *listing;

    options_read(&options, argc, argv);
    struct fdset_manager *manager = manager_connect(argv[0], options.socket, NULL);
    /* Of no owner's sets: what is wanted comes with them. */
    struct fdset_filter nothing = {.owner = "\x7f"};
    if (fdset_query_filtered(manager, &nothing, &listing) < 0)
        refused(argv[0], "%s", fdset_error_text());
    if (options.json)
        json_print(totals_json(&listing->totals));
    else if (options.openmetrics)
        metrics_print(&listing->totals);
    else
        table_of_totals_print(&listing->totals, options.headings);
    fdset_listing_free(listing);
    fdset_manager_free(manager);
    return EXIT_DONE;
}

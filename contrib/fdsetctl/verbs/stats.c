/* SPDX-License-Identifier: MIT */
/* fdsetctl stats: the helper's totals, for people and for monitoring. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ask/connect.h"
#include "ask/figures.h"
#include "base/plain.h"
#include "base/words.h"
#include "output/json.h"
#include "output/table.h"

static const char help[] =
    "Usage: fdsetctl stats [OPTION]...\n"
    "Show how much there is of everything, and how much there has been in the helper's life.\n"
    "\n"
    "  -j, --json           print JSON\n"
    "      --openmetrics    print OpenMetrics text, for a collector\n"
    "      --vm NAME        with --openmetrics, what to call the virtual machine in the label\n"
    "                       vm; default: the name of the socket's directory\n"
    "  -n, --no-headings    no line with the columns' names\n" COMMON_OPTIONS_TEXT;

struct stats_options {
    const char *vm;
    bool json, openmetrics, no_headings;
};

static void stats_options_read(struct stats_options *options, struct verb_line *line) {
    static const struct verb_option table[] = {
        {"json", no_argument, 'j', offsetof(struct stats_options, json)},
        {"openmetrics", no_argument, 0, offsetof(struct stats_options, openmetrics)},
        {"vm", required_argument, 0, offsetof(struct stats_options, vm)},
        {"no-headings", no_argument, 'n', offsetof(struct stats_options, no_headings)},
        {NULL},
    };

    options_read(line, help, table, options);
    no_operands(line);
    if (options->vm && !options->openmetrics)
        die_usage("--vm is for --openmetrics");
    if (options->json && options->openmetrics)
        die_usage("give either --json or --openmetrics, not both");
}

static void table_of_totals_print(const struct fdset_totals *totals, bool headings) {
    static const struct table_column columns[] = {{"NAME"}, {"VALUE", true}, {"MEANING"}, {NULL}};
    struct libscols_table *table = table_new(columns, headings);

    for (const struct figure *total = total_figures; total->name; total++) {
        struct libscols_line *line = table_line(table);
        table_cell(line, 0, "%s", total->name);
        table_number(line, 1, figure_value(total, totals), true);
        table_cell(line, 2, "%s", total->help);
    }
    table_print(table);
}

/* ------------------------------------------------------------- OpenMetrics */

#define PREFIX "fdset_helper_"

/* A label's value: '"', '\\' and the ends of lines are escaped. */
static void label_print(const char *name, const char *value) {
    char *plain = plain_text(value);

    printf("%s=\"", name);
    for (const char *next = plain; *next; next++) {
        if (*next == '"' || *next == '\\')
            putchar('\\');
        putchar(*next);
    }
    putchar('"');
    free(plain);
}

static void labels_print(const char *vm, const char *endpoint) {
    if (!vm && !endpoint)
        return;
    putchar('{');
    if (vm)
        label_print("vm", vm);
    if (vm && endpoint)
        putchar(',');
    if (endpoint)
        label_print("endpoint", endpoint);
    putchar('}');
}

static void sample_print(const char *name, const char *suffix, const char *vm) {
    printf(PREFIX "%s%s", name, suffix);
    labels_print(vm, NULL);
    putchar(' ');
}

static void family_print(const char *name, const char *suffix, const char *type, const char *text) {
    printf("# HELP " PREFIX "%s%s %s.\n# TYPE " PREFIX "%s%s %s\n", name, suffix, text, name,
           suffix, type);
}

/* As "OpenMetrics, a cloud-native, highly scalable metrics protocol" 1.0 has it:
 * a time is in seconds, and a counter's sample has a suffix that its name lacks. */
static void metric_print(const struct figure *total, uint64_t value, const char *vm) {
    if (total->type == FIGURE_TIME) {
        family_print("uptime_seconds", "", "gauge", total->help);
        puts("# UNIT " PREFIX "uptime_seconds seconds");
        sample_print("uptime_seconds", "", vm);
        printf("%" PRIu64 ".%03u\n", value / 1000, (unsigned)(value % 1000));
        return;
    }
    bool counter = total->type == FIGURE_COUNTER;
    family_print(total->name, "", counter ? "counter" : "gauge", total->help);
    sample_print(total->name, counter ? "_total" : "", vm);
    printf("%" PRIu64 "\n", value);
}

/* A family for each figure, a sample for each virtual machine. */
static void endpoints_print(const struct fdset_listing *listing, const char *vm) {
    for (const struct figure *figure = endpoint_figures; figure->name; figure++) {
        if (listing->endpoint_count == 0)
            continue;
        family_print("endpoint_", figure->name, "gauge", figure->help);
        for (size_t i = 0; i < listing->endpoint_count; i++) {
            printf(PREFIX "endpoint_%s", figure->name);
            labels_print(vm, listing->endpoints[i].name);
            printf(" %" PRIu64 "\n", figure_value(figure, &listing->endpoints[i]));
        }
    }
}

static void version_print(const struct fdset_helper_info *helper, const char *vm) {
    family_print("build", "", "info", "The helper's version");
    fputs(PREFIX "build_info{", stdout);
    if (vm) {
        label_print("vm", vm);
        putchar(',');
    }
    label_print("version", helper->helper);
    puts("} 1");
}

static void metrics_print(const struct fdset_listing *listing,
                          const struct fdset_helper_info *helper, const char *vm) {
    const struct fdset_totals *totals = &listing->totals;
    const struct figure *figure;

    for (figure = total_figures; figure->name; figure++)
        metric_print(figure, figure_value(figure, totals), vm);
    for (figure = limit_figures; figure->name; figure++) {
        uint64_t maximum = figure_value(figure, &helper->limits);
        if (maximum == 0)
            continue;
        family_print(figure->name, "_limit", "gauge", figure->help);
        sample_print(figure->name, "_limit", vm);
        printf("%" PRIu64 "\n", maximum);
    }
    endpoints_print(listing, vm);
    version_print(helper, vm);
    puts("# EOF");
}

static int stats_run(struct verb_line *line) {
    struct stats_options options = {.vm = NULL};
    struct fdset_helper_info helper;

    stats_options_read(&options, line);
    struct fdset_manager *manager = manager_connect(line, NULL);
    struct fdset_listing *listing = totals_ask(manager);
    fdset_manager_helper_info(manager, &helper);
    fdset_manager_free(manager);
    char *vm = vm_name(socket_path(line));
    if (options.json)
        json_print(totals_json(&listing->totals));
    else if (options.openmetrics)
        metrics_print(listing, &helper, options.vm ? options.vm : vm);
    else
        table_of_totals_print(&listing->totals, !options.no_headings);
    fdset_listing_free(listing);
    free(vm);
    return EXIT_DONE;
}

const struct verb verb_stats = {"stats", "show the helper's totals", stats_run};

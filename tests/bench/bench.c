/* SPDX-License-Identifier: MIT */
/* What fdset-helper costs, beside what it cannot cost less than, and beside its
 * closest peer: all measured in one run, in turn. See --help. */
#include <err.h>
#include <getopt.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "groups.h"

static const char help[] =
    "Usage: bench [OPTION]... [GROUP]...\n"
    "\n"
    "Measures fdset-helper (this build's, or $FDSET_HELPER) and what it is compared\n"
    "with, in turn, and prints medians, 99th percentiles and ratios. A ratio is the\n"
    "median of the ratios of short rounds. Groups, all unless some are named:\n"
    "basic, steps, crowds, load, start, memory. All but load and start are measured on\n"
    "one processor: else it is the scheduler's choice whether a server wakes an idle one,\n"
    "which in a virtual machine costs ten times what an open does.\n"
    "\n"
    "  --json FILE   write what was measured, for machines\n"
    "  --effort N    that many times the usual rounds, such as 0.1 for a quick look\n"
    "  --help        print this\n"
    "\n"
    "Exit status: 0 if all could be measured, whatever the figures; 1 if not; 2 for a\n"
    "wrong command line.\n";

static const struct {
    const char *name;
    void (*run)(struct report *report);
    bool on_one; /* processor */
} groups[] = {
    {"basic", bench_basic, true}, {"steps", bench_steps, true},  {"crowds", bench_crowds, true},
    {"load", bench_load, false},  {"start", bench_start, false}, {"memory", bench_memory, true},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static double effort = 1;

/* With all that is started from here. Where it is refused, where we are will do. */
static void run(size_t group, struct report *report) {
    cpu_set_t before, one;

    sched_getaffinity(0, sizeof(before), &before);
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    if (groups[group].on_one)
        sched_setaffinity(0, sizeof(one), &one);
    groups[group].run(report);
    sched_setaffinity(0, sizeof(before), &before);
}

size_t rounds_of_group(size_t rounds) {
    size_t wanted = (size_t)((double)rounds * effort);
    return wanted > 0 ? wanted : 1;
}

static void check_group(const char *name) {
    for (size_t i = 0; i < COUNT(groups); i++)
        if (strcmp(groups[i].name, name) == 0)
            return;
    errx(2, "there is no group '%s': see --help", name);
}

static bool is_wanted(const char *group, char **names) {
    if (!*names)
        return true;
    while (*names && strcmp(*names, group) != 0)
        names++;
    return *names;
}

static double parse_effort(const char *text) {
    char *end;
    double value = strtod(text, &end);
    if (*end || !(value > 0 && value <= 1000))
        errx(2, "--effort: a number above 0, at most 1000, not '%s'", text);
    return value;
}

int main(int argc, char **argv) {
    static const struct option choices[] = {{"json", required_argument, NULL, 'j'},
                                            {"effort", required_argument, NULL, 'e'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    const char *json = NULL;
    int choice;
    while ((choice = getopt_long(argc, argv, "", choices, NULL)) != -1)
        switch (choice) {
        case 'j':
            json = optarg;
            break;
        case 'e':
            effort = parse_effort(optarg);
            break;
        case 'h':
            return fputs(help, stdout) < 0;
        default:
            return 2;
        }
    for (int i = optind; i < argc; i++)
        check_group(argv[i]);

    setenv("FDSET_HELPER", HELPER, 0);
    struct report *report = report_new();
    for (size_t i = 0; i < COUNT(groups); i++)
        if (is_wanted(groups[i].name, argv + optind))
            run(i, report);
    int error = report_end(report, json);
    if (error)
        errx(1, "%s: %s", json, strerror(-error));
    return 0;
}

/* SPDX-License-Identifier: MIT */
/* sandbox-needed PROGRAM [ARGUMENT]...
 *
 * No rule of the sandbox is unneeded: runs integration programs ("PROGRAM" or
 * "PROGRAM ARGUMENT" each) with a helper that is traced (trace.c), and looks at
 * which rules let a call through. Reports each rule as one test, TAP.
 *
 * FDSET_TEST_HELPER names the helper, SANDBOX_TRACE the tracer. */
#include <err.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confine/filter.h"
#include "reference.h"

#define MAX_RULES 64

static bool used[MAX_RULES];
static uint32_t used_flags;
static int failures, tests;

__attribute__((format(printf, 2, 3))) static void report(bool good, const char *format, ...) {
    va_list arguments;

    printf("%sok %d - ", good ? "" : "not ", ++tests);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
    failures += !good;
}

/* Its own report goes to standard error: these are no new tests. */
static void run(char *command) {
    char *argument = strchr(command, ' ');
    int status = -1;
    pid_t child = fork();

    if (argument)
        *argument++ = '\0';
    if (child == 0) {
        dup2(STDERR_FILENO, STDOUT_FILENO);
        execl(command, command, argument, NULL);
        err(125, "%s", command);
    }
    waitpid(child, &status, 0);
    report(status == 0, "%s%s%s with a traced helper", strrchr(command, '/') + 1,
           argument ? " " : "", argument ? argument : "");
}

static void read_trace(const char *path) {
    FILE *trace = fopen(path, "re");
    char line[200];

    if (!trace)
        err(1, "%s", path);
    while (fgets(line, sizeof(line), trace)) {
        size_t rule;
        unsigned flags = 0;
        if (sscanf(line, "%zu %x", &rule, &flags) >= 1 && rule < filter_rule_count) {
            used[rule] = true;
            used_flags |= flags;
        } else {
            report(false, "%.*s", (int)strcspn(line, "\n"), line);
        }
    }
    fclose(trace);
}

static void report_rules(void) {
    for (size_t i = 0; i < filter_rule_count; i++) {
        const struct filter_argument *arguments = filter_rules[i].arguments;
        char text[300] = "";
        for (size_t j = 0; j < FILTER_MAX_ARGUMENTS && arguments[j].test; j++)
            snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", j ? ", " : "",
                     arguments[j].text);
        report(used[i], "needed: %s(%s)", filter_rules[i].call, text);
    }
}

/* Likewise each flag that F_SETFL may set. */
static void report_flags(void) {
    const struct confine_plan plan = {0};

    for (int bit = 0; bit < 32; bit++) {
        struct attempt set = {"fcntl", {0, F_SETFL, UINT64_C(1) << bit}};
        if (reference_allows(&plan, O_DIRECT, &set))
            report(used_flags & 1u << bit, "needed: fcntl(F_SETFL, %#o)", 1u << bit);
    }
}

int main(int argc, char **argv) {
    char path[] = "/tmp/sandbox-trace-XXXXXX";
    const char *helper = getenv("FDSET_TEST_HELPER"), *tracer = getenv("SANDBOX_TRACE");
    int file = mkstemp(path);

    if (!helper || !tracer || argc < 2 || filter_rule_count > MAX_RULES)
        errx(125, "run this by meson test");
    if (file < 0)
        err(125, "%s", path);
    fchmod(file, 0666); /* the helpers of ordinary users write to it as well */
    close(file);
    setenv("SANDBOX_TRACE_HELPER", helper, 1);
    setenv("SANDBOX_TRACE_OUTPUT", path, 1);
    setenv("FDSET_TEST_HELPER", tracer, 1);
    for (int i = 1; i < argc; i++)
        run(argv[i]);
    read_trace(path);
    unlink(path);
    report_rules();
    report_flags();
    printf("1..%d\n", tests);
    return failures ? 1 : 0;
}

/* SPDX-License-Identifier: MIT */
/* The one way in which a program says an error, and ends. */
#include "common/say.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char *speaker, *help_option = "--help";
static char *(*fit_to_show)(const char *text);

void say_as(const char *name, const char *help) {
    speaker = name;
    help_option = help;
}

void say_through(char *(*fit)(const char *text)) {
    fit_to_show = fit;
}

static const char *name(void) {
    return speaker ? speaker : program_invocation_short_name;
}

/* Without memory there is still something to be said. */
static void say(const char *format, va_list arguments) {
    char *text = NULL, *shown = NULL;

    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    else if (fit_to_show)
        shown = fit_to_show(text);
    fprintf(stderr, "%s: %s\n", name(), shown ? shown : text ? text : "out of memory");
    free(shown);
    free(text);
}

void complain(const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

void die(const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
    exit(STATUS_FAILED);
}

void die_usage(const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
    die_try_help();
}

void die_try_help(void) {
    fprintf(stderr, "Try '%s %s'.\n", name(), help_option);
    exit(STATUS_USAGE);
}

/* SPDX-License-Identifier: MIT */
/* Finds the subcommand and has what all of them share. */
#include <fcntl.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ask/connect.h"
#include "base/plain.h"
#include "base/suggest.h"
#include "base/verb.h"
#include "base/words.h"

static const struct command commands[] = {
    {"add", "open files and put their descriptors into sets", command_add},
    {"remove", "take members out of a set", command_remove},
    {"list", "show sets, members, leases and waiting opens", command_list},
    {"show", "show one set in full, or the helper's sandbox", command_show},
    {"who", "show which VMMs have a file open", command_who},
    {"watch", "print what happens, as it happens", command_watch},
    {"info", "show the helper's version, limits and how full they are", command_info},
    {"stats", "show the helper's totals", command_stats},
};
#define COMMAND_COUNT (sizeof commands / sizeof *commands)

/* Both may quote what a helper or a file's name has. */
static void sentence_print(const char *name, const char *format, va_list arguments) {
    char *text;

    if (vasprintf(&text, format, arguments) < 0)
        return;
    char *plain = plain_text(text);
    fprintf(stderr, "%s: %s\n", name, plain);
    free(plain);
    free(text);
}

void usage_error(const char *name, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    sentence_print(name, format, arguments);
    fprintf(stderr, "Try '%s --help'.\n", name);
    va_end(arguments);
    exit(EXIT_USAGE);
}

void complain(const char *name, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    sentence_print(name, format, arguments);
    va_end(arguments);
}

void refused(const char *name, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    sentence_print(name, format, arguments);
    va_end(arguments);
    exit(EXIT_REFUSED);
}

static void main_help(void) {
    puts("Usage: fdsetctl [--socket PATH] COMMAND ...\n"
         "Manage the descriptors that fdset-helper keeps for a virtual machine.\n"
         "\nCommands:");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        printf("  %-20s %s\n", commands[i].name, commands[i].summary);
    fputs("\nOptions, before or after the command:\n" COMMON_OPTIONS_TEXT
          "\n'fdsetctl COMMAND --help' tells a command's own options; fdsetctl(1) tells all.\n",
          stdout);
}

static char **words; /* of the command line, for option_unknown() */

/* getopt has said what is wrong. */
_Noreturn static void option_unknown(const char *help) {
    const char *word = words[optind - 1];
    char *meant = optopt || strncmp(word, "--", 2) ? NULL : option_suggest(word + 2, help);

    if (meant)
        fprintf(stderr, "Did you mean '%s'?\n", meant);
    fprintf(stderr, "Try '%s --help'.\n", words[0]);
    exit(EXIT_USAGE);
}

void common_option(int option, const char *argument, const char **socket, const char *help) {
    switch (option) {
    case 'S':
        *socket = argument;
        return;
    case OPTION_WAIT:
        wait_read(words[0], argument);
        return;
    case 'h':
        if (help)
            fputs(help, stdout);
        else
            main_help();
        exit(EXIT_DONE);
    case 'V':
        puts("fdsetctl " FDSETCTL_VERSION);
        exit(EXIT_DONE);
    default:
        option_unknown(help ? help : COMMON_OPTIONS_TEXT);
    }
}

void set_argument(const char *name, const char *text, struct fdset_filter *filter) {
    if (!set_or_name_parse(text, filter))
        usage_error(name, "'%s' is not a set: give a number, a name or /dev/fdset/NUMBER", text);
}

/* A file that is opened while standard output is closed would get its number,
 * and the table would be written into a disk image. */
static void standard_descriptors_fill(void) {
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

const char *command_name(size_t index) {
    return index < COMMAND_COUNT ? commands[index].name : NULL;
}

static int command_run(int argc, char **argv, const char *socket) {
    static char name[32];
    const char *meant;

    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(argv[0], commands[i].name))
            continue;
        snprintf(name, sizeof name, "fdsetctl %s", argv[0]);
        argv[0] = name;
        words = argv;
        return commands[i].run(argc, argv, socket);
    }
    meant = command_suggest(argv[0]);
    usage_error("fdsetctl", "there is no command '%s'%s%s%s", argv[0],
                meant ? "; did you mean '" : "", meant ? meant : "", meant ? "'?" : "");
}

int main(int argc, char **argv) {
    static const struct option options[] = {COMMON_OPTIONS};
    static char name[] = "fdsetctl";
    const char *socket = NULL;
    int option;

    standard_descriptors_fill();
    setlocale(LC_ALL, "");
    argv[0] = name;
    words = argv;
    while ((option = getopt_long(argc, argv, "+" COMMON_SHORT_OPTIONS, options, NULL)) >= 0)
        common_option(option, optarg, &socket, NULL);
    if (optind == argc)
        usage_error(name, "no command given");

    argc -= optind;
    argv += optind;
    optind = 0; /* getopt starts anew */
    int code = command_run(argc, argv, socket);
    if (fflush(stdout) || ferror(stdout))
        refused(name, "cannot write to standard output");
    return code;
}

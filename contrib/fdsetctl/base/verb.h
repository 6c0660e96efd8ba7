/* SPDX-License-Identifier: MIT */
/* fdsetctl: the command-line manager of fdset-helper. One run is one request
 * (but for watch): it connects, asks, prints and hangs up.
 *
 * Standard output has what was asked for, as a table for people or as JSON for
 * programs; standard error has what went wrong, one sentence. */
#pragma once

#include <getopt.h>
#include <stdbool.h>

#include <fdset/manager.h>

/* Exit codes, as the manual page promises them. */
enum {
    EXIT_DONE = 0,
    EXIT_REFUSED = 1, /* the helper or the kernel said no, or nobody listens */
    EXIT_USAGE = 2,   /* the command line makes no sense; nothing was done */
    EXIT_NOTHING = 3, /* what was looked for is nowhere */
    EXIT_LATE = 4,    /* it was removed, but not closed in time */
};

/* A subcommand. `run` gets the command line from the command's name on (as
 * "fdsetctl NAME") and the socket that was given before it, or NULL. It
 * returns an exit code, or ends the program by one of the functions below. */
struct command {
    const char *name;
    const char *summary;
    int (*run)(int argc, char **argv, const char *socket);
};

int command_add(int argc, char **argv, const char *socket);
int command_remove(int argc, char **argv, const char *socket);
int command_list(int argc, char **argv, const char *socket);
int command_show(int argc, char **argv, const char *socket);
int command_watch(int argc, char **argv, const char *socket);
int command_who(int argc, char **argv, const char *socket);
int command_info(int argc, char **argv, const char *socket);
int command_stats(int argc, char **argv, const char *socket);

/* By index from 0; NULL after the last. */
const char *command_name(size_t index);

/* Options that every subcommand has. */
enum { OPTION_WAIT = 1000 };
#define COMMON_OPTIONS                                                                         \
    {"socket", required_argument, NULL, 'S'}, {"help", no_argument, NULL, 'h'},                \
        {"version", no_argument, NULL, 'V'}, {"wait", optional_argument, NULL, OPTION_WAIT}, { \
        NULL                                                                                   \
    }
#define COMMON_SHORT_OPTIONS "S:hV"
#define COMMON_OPTIONS_TEXT                                                              \
    "  -S, --socket PATH    the helper's manage socket; default: $FDSET_MANAGE_SOCKET\n" \
    "      --wait[=SECONDS] wait so long for a helper to answer there; default: 10\n"    \
    "  -h, --help           show this and end\n"                                         \
    "  -V, --version        show the version and end\n"

/* Deals with a common option, or with '?', getopt's sign that it has already
 * complained: then it says what may have been meant. `help` is the subcommand's --help. */
void common_option(int option, const char *argument, const char **socket, const char *help);

/* Both print "fdsetctl NAME: " and a sentence on standard error and end the
 * program: usage_error with EXIT_USAGE and a word on --help, refused with
 * EXIT_REFUSED. `name` is argv[0]. */
_Noreturn void usage_error(const char *name, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
_Noreturn void refused(const char *name, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The same sentence, and the program goes on. */
void complain(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Reads an argument that is a set's number, name or path into `filter`, or ends
 * the program as usage_error() does. */
void set_argument(const char *name, const char *text, struct fdset_filter *filter);

/* Connects to the helper at `socket`, or at $FDSET_MANAGE_SOCKET where that is
 * NULL, as `owner`, a label or NULL. Ends the program where it cannot. */
struct fdset_manager *manager_connect(const char *name, const char *socket, const char *owner);

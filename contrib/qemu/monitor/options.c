/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PREFIX_MAX_BYTES 64

static const char help[] =
    "Usage: fdset-qmp [OPTION]... LISTEN EMULATOR [LISTEN EMULATOR]...\n"
    "Stands between management and QEMU's monitors: descriptors passed with add-fd\n"
    "go to fdset-helper instead of QEMU; all else passes through.\n"
    "\n"
    "Each pair is a monitor:\n"
    "  LISTEN             where management connects: unix:PATH (made, mode 0600), or\n"
    "                     fd:N, an inherited socket, listening or connected\n"
    "  EMULATOR           where QEMU listens: unix:PATH, or fd:N, a descriptor of\n"
    "                     the bound socket made with O_PATH, or a connected socket;\n"
    "                     with hmp: before it, it is a monitor for people\n"
    "\n"
    "Options:\n"
    "  --manage PATH      the helper's manage socket (or set FDSET_MANAGE_SOCKET)\n"
    "  --manage-fd N      the same, inherited and connected\n"
    "  --pidfd N          end when this process has ended\n"
    "  --path-prefix P    what /dev/fdset/ is to QEMU (//dev/fdset/)\n"
    "  --tools            have add-fd where the emulator lacks it, as QEMU's storage\n"
    "                     daemon does (always on)\n"
    "  --ready-fd N       write a newline to N and close it, when serving\n"
    "  --help, --version\n"
    "\n"
    "Exit status: 0 when there is nobody left to serve, 1 if it could not start,\n"
    "2 for a wrong command line.\n";

static void die_usage(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

static void die_usage(const char *format, ...) {
    va_list arguments;

    fputs("fdset-qmp: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputs("\nTry 'fdset-qmp --help'.\n", stderr);
    exit(2);
}

/* An inherited descriptor. */
static int descriptor(const char *what, const char *text) {
    char *end;
    long fd = strtol(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end || fd > INT_MAX)
        die_usage("%s: not a descriptor's number: '%s'", what, text);
    if (fcntl((int)fd, F_GETFD) < 0)
        die_usage("%s: descriptor %ld is not open", what, fd);
    fcntl((int)fd, F_SETFD, FD_CLOEXEC);
    return (int)fd;
}

static struct address address(const char *text) {
    if (strncmp(text, "unix:", 5) == 0 && text[5])
        return (struct address){.path = text + 5, .fd = -1};
    if (strncmp(text, "fd:", 3) == 0)
        return (struct address){.fd = descriptor(text, text + 3)};
    die_usage("neither unix:PATH nor fd:N: '%s'", text);
}

/* It stands in strings of JSON as it is, and takes the place of a slash that may be escaped. */
static const char *prefix(const char *text) {
    size_t length = strlen(text);

    if (length == 0 || text[0] != '/' || text[length - 1] != '/')
        die_usage("--path-prefix: a slash is at both its ends, and not so in '%s'", text);
    if (length > PREFIX_MAX_BYTES)
        die_usage("--path-prefix: at most %d bytes, and not %zu", PREFIX_MAX_BYTES, length);
    for (const char *c = text; *c; c++)
        if (*c < 0x20 || *c > 0x7e || strchr("\"'\\", *c))
            die_usage("--path-prefix: a character that would need an escape: '%s'", text);
    return text;
}

static void monitors_read(struct options *options, char **pairs, int count) {
    if (count == 0 || count % 2 != 0)
        die_usage("expected pairs of LISTEN and EMULATOR");
    if (count / 2 > MONITORS_MAX)
        die_usage("at most %d monitors", MONITORS_MAX);
    for (int i = 0; i < count; i += 2) {
        struct monitor *monitor = &options->monitors[options->monitor_count++];
        const char *emulator = pairs[i + 1];
        monitor->human = strncmp(emulator, "hmp:", 4) == 0;
        monitor->listen = address(pairs[i]);
        monitor->emulator = address(emulator + (monitor->human ? 4 : 0));
    }
}

static const struct option names[] = {
    {"manage", required_argument, NULL, 'm'},
    {"manage-fd", required_argument, NULL, 'M'},
    {"pidfd", required_argument, NULL, 'p'},
    {"ready-fd", required_argument, NULL, 'r'},
    {"path-prefix", required_argument, NULL, 'P'},
    {"tools", no_argument, NULL, 't'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static void option_read(struct options *options, int option, char *argument) {
    switch (option) {
    case 'm':
        options->manage = argument;
        break;
    case 'M':
        options->manage_fd = descriptor("--manage-fd", argument);
        break;
    case 'p':
        options->pid_fd = descriptor("--pidfd", argument);
        break;
    case 'r':
        options->ready_fd = descriptor("--ready-fd", argument);
        break;
    case 'P':
        options->prefix = prefix(argument);
        break;
    case 't':
        break;
    case 'h':
        fputs(help, stdout);
        exit(0);
    case 'V':
        puts("fdset-qmp " FDSET_VERSION);
        exit(0);
    default:
        fputs("Try 'fdset-qmp --help'.\n", stderr);
        exit(2);
    }
}

void options_read(struct options *options, int argc, char **argv) {
    int option;

    *options =
        (struct options){.manage_fd = -1, .pid_fd = -1, .ready_fd = -1, .prefix = "//dev/fdset/"};
    while ((option = getopt_long(argc, argv, "+", names, NULL)) >= 0)
        option_read(options, option, optarg);
    if (options->manage && options->manage_fd >= 0)
        die_usage("--manage and --manage-fd are two helpers: give one");
    if (!options->manage && options->manage_fd < 0)
        options->manage = getenv("FDSET_MANAGE_SOCKET");
    if ((!options->manage || !*options->manage) && options->manage_fd < 0)
        die_usage("no helper given: use --manage PATH or set FDSET_MANAGE_SOCKET");
    monitors_read(options, argv + optind, argc - optind);
}

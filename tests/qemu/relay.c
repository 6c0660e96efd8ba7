/* SPDX-License-Identifier: MIT */
/* The relay of fdset-qemu alone, so that a test can be at both its ends.
 *
 *     test-relay [OPTION]... LISTEN EMULATOR [LISTEN EMULATOR]...
 *
 * LISTEN and EMULATOR are unix:PATH or fd:N, and with hmp: before EMULATOR it is a monitor
 * for people. The options are the members of struct relay_setup. */
#include <fcntl.h>
#include <getopt.h>
#include <string.h>

#include "common/descriptors.h"
#include "common/say.h"
#include "number.h"
#include "relay.h"

/* An inherited descriptor. */
static int descriptor(const char *text) {
    int fd;

    if (!int_parse(text, &fd) || fcntl(fd, F_GETFD) < 0)
        die_usage("no descriptor: '%s'", text);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    return fd;
}

static struct address address(const char *text) {
    if (strncmp(text, "unix:", 5) == 0)
        return (struct address){.path = text + 5, .fd = -1};
    if (strncmp(text, "fd:", 3) == 0)
        return (struct address){.fd = descriptor(text + 3)};
    die_usage("neither unix:PATH nor fd:N: '%s'", text);
}

static void option_read(struct relay_setup *setup, int option, const char *argument) {
    switch (option) {
    case 'm':
        setup->manage = argument;
        break;
    case 'M':
        setup->manage_fd = descriptor(argument);
        break;
    case 'l':
        setup->lifeline = descriptor(argument);
        break;
    case 'r':
        setup->ready = descriptor(argument);
        break;
    default:
        die_try_help();
    }
}

int main(int argc, char **argv) {
    static const struct option names[] = {
        {"manage", required_argument, NULL, 'm'},
        {"manage-fd", required_argument, NULL, 'M'},
        {"lifeline", required_argument, NULL, 'l'},
        {"ready", required_argument, NULL, 'r'},
        {NULL, 0, NULL, 0},
    };
    static struct relay_setup setup = {.manage_fd = -1, .lifeline = -1, .ready = -1};
    int option;

    standard_streams_fill();
    while ((option = getopt_long(argc, argv, "+", names, NULL)) >= 0)
        option_read(&setup, option, optarg);
    for (int i = optind; i + 1 < argc && setup.monitor_count < MONITORS_MAX; i += 2) {
        struct relay_monitor *monitor = &setup.monitors[setup.monitor_count++];
        monitor->human = strncmp(argv[i + 1], "hmp:", 4) == 0;
        monitor->listen = address(argv[i]);
        monitor->emulator = address(argv[i + 1] + (monitor->human ? 4 : 0));
    }
    return relay_run(&setup);
}

/* SPDX-License-Identifier: MIT */
/* Parses the command line. */
#include "start/options.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "start/descriptors.h"
#include "start/sockets.h"
#include "start/usage.h"
#include "version.h"

static void option_ready_fd(struct start_options *options, const struct option_row *row,
                            char *text) {
    int fd = (int)usage_number(row->name, text, INT_MAX);

    if (fd == STDIN_FILENO || fd == STDERR_FILENO)
        usage_die("--ready-fd: expected 1 or a number above 2, not %d", fd);
    if (!is_inherited(fd) || (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
        usage_die("--ready-fd: descriptor %d is not open for writing: in a shell, say "
                  "%d>FILE after it",
                  fd, fd);
    options->ready_fd = fd;
}

static void option_limit(struct start_options *options, const struct option_row *row, char *text) {
    char *equals = strchr(text, '=');

    if (!equals)
        usage_die("--limit: expected NAME=N: '%s'", text);
    *equals = '\0';
    uint32_t *limit = limits_find(&options->limits, text);
    if (!limit)
        usage_die("--limit: there is no limit called '%s'", text);
    uint64_t value = usage_number(row->name, equals + 1, LIMITS_LARGEST);
    if (value == 0)
        usage_die("--limit: %s must be 1 or more", text);
    *limit = *limits_find(&options->asked, text) = (uint32_t)value;
}

static void option_user(struct start_options *options, const struct option_row *row, char *text) {
    gid_t login = (gid_t)-1;
    char *group = account_cut_group(row->name, text);

    if (!text[0])
        die_of_owner(row->name);
    options->uid = account_user(row->name, text, &login);
    options->gid = group                ? account_group(row->name, group)
                   : login != (gid_t)-1 ? login
                                        : (gid_t)options->uid;
    if (options->uid == 0)
        usage_die("--user: 0 would keep root's power over its own files");
}

/* What one option consumes is nothing for another; and one socket has one role. */
static void check_numbers(const struct start_options *options) {
    int numbers[OPTIONS_MAX_SOCKETS + 1];
    size_t count = 0;

    if (options->ready_fd >= 0)
        numbers[count++] = options->ready_fd;
    for (size_t i = 0; i < options->socket_count; i++)
        if (!options->sockets[i].path)
            numbers[count++] = options->sockets[i].fd;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++)
            if (numbers[i] == numbers[j])
                usage_die("descriptor %d is given to two options", numbers[i]);
        for (size_t j = 0; j < options->add_fd_count; j++)
            if (numbers[i] == options->add_fds[j].fd)
                usage_die("descriptor %d is given to two options", numbers[i]);
    }
}

static void option_sandbox(struct start_options *options, const struct option_row *row,
                           char *text) {
    static const char *const modes[] = {"enforce", "best-effort", "log"};

    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
        if (strcmp(text, modes[i]) == 0) {
            options->confine = (enum confine_mode)i;
            return;
        }
    usage_die("--sandbox: enforce, best-effort or log, not '%s'", text);
}

/* The shipped unit sets it, and whoever replaces its command line keeps it:
 * nothing that was meant for a test run weakens the sandbox of a service. */
static void check_sandbox(const struct start_options *options) {
    const char *least = getenv("FDSET_SANDBOX");

    if (least && strcmp(least, "enforce") != 0)
        usage_die("FDSET_SANDBOX: enforce or not set, not '%s'", least);
    if (least && options->confine != CONFINE_ENFORCE)
        usage_die("--sandbox: FDSET_SANDBOX=enforce allows nothing less");
}

static void option_flag(struct start_options *options, const struct option_row *row, char *text) {
    *(bool *)((char *)options + row->flag) = true;
}

static void finish(const char *text) {
    bool written = fputs(text, stdout) >= 0 && fflush(stdout) == 0;
    exit(written ? 0 : 1);
}

static void option_help(struct start_options *options, const struct option_row *row, char *text) {
    finish(usage_help);
}

static void option_version(struct start_options *options, const struct option_row *row,
                           char *text) {
    finish("fdset-helper " HELPER_VERSION "\n");
}

static const struct option_row rows[] = {
    {"manage", required_argument, option_socket, ROLE_MANAGER},
    {"vmm", required_argument, option_socket, ROLE_VMM},
    {"observe", required_argument, option_socket, ROLE_OBSERVER},
    {"manage-fd", required_argument, option_socket_fd, ROLE_MANAGER},
    {"vmm-fd", required_argument, option_socket_fd, ROLE_VMM},
    {"observe-fd", required_argument, option_socket_fd, ROLE_OBSERVER},
    {"manage-mode", required_argument, option_mode, ROLE_MANAGER},
    {"vmm-mode", required_argument, option_mode, ROLE_VMM},
    {"observe-mode", required_argument, option_mode, ROLE_OBSERVER},
    {"manage-owner", required_argument, option_owner, ROLE_MANAGER},
    {"vmm-owner", required_argument, option_owner, ROLE_VMM},
    {"observe-owner", required_argument, option_owner, ROLE_OBSERVER},
    {"manager-uid", required_argument, option_manager_uid},
    {"add-fd", required_argument, option_add_fd},
    {"linger", no_argument, option_flag, .flag = offsetof(struct start_options, linger)},
    {"user", required_argument, option_user},
    {"sandbox", required_argument, option_sandbox},
    {"limit", required_argument, option_limit},
    {"ready-fd", required_argument, option_ready_fd},
    {"quiet", no_argument, option_flag, .flag = offsetof(struct start_options, quiet)},
    {"verbose", no_argument, option_flag, .flag = offsetof(struct start_options, verbose)},
    {"help", no_argument, option_help},
    {"version", no_argument, option_version},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static void apply_all(struct start_options *options, int argc, char **argv) {
    struct option choices[ROWS + 1] = {{0}};
    int error, row;

    for (size_t i = 0; i < ROWS; i++)
        choices[i] = (struct option){.name = rows[i].name, .has_arg = rows[i].argument};
    while ((error = getopt_long(argc, argv, "", choices, &row)) == 0)
        rows[row].apply(options, &rows[row], optarg);
    if (error != -1) {
        /* getopt has said what is wrong */
        fprintf(stderr, "Try '%s --help'.\n", program_invocation_name);
        exit(2);
    }
    if (optind < argc)
        usage_die("unexpected argument '%s'", argv[optind]);
}

void options_parse(struct start_options *options, int argc, char **argv) {
    *options = (struct start_options){
        .limits = LIMITS_DEFAULT,
        .uid = 65534,
        .gid = 65534,
        .ready_fd = -1,
    };
    for (enum role role = ROLE_VMM; role <= ROLE_OBSERVER; role++)
        options->access[role] =
            (struct socket_access){.mode = 0600, .owner = (uid_t)-1, .group = (gid_t)-1};
    options->managers.unmapped = 65534;
    /* Root, and whoever starts the helper. */
    options->managers.uids[options->managers.count++] = 0;
    if (geteuid() != 0)
        options->managers.uids[options->managers.count++] = geteuid();

    apply_all(options, argc, argv);
    check_sandbox(options);
    sockets_check_access(options);
    check_numbers(options);
    /* In a user namespace of its own the helper could not tell one stranger
     * from another; only root can do without. */
    if (geteuid() != 0 && options->managers.count > 2)
        usage_die("--manager-uid, --manage-owner: only a helper that root starts can tell users "
                  "apart");
}

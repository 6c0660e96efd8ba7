/* SPDX-License-Identifier: MIT */
#include "start/options.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "start/accounts.h"
#include "version.h"

static const char help[] =
    "Usage: fdset-helper [OPTION]...\n"
    "\n"
    "Holds sets of descriptors for a virtual machine's emulator, so that the\n"
    "emulator sees no path and needs no right to open one.\n"
    "\n"
    "Sockets (each may be given several times):\n"
    "  --manage PATH      listen for managers at a new socket\n"
    "  --vmm PATH         listen for emulators\n"
    "  --observe PATH     listen for those who may only look\n"
    "  --manage-fd N      the same on an inherited socket, listening or connected\n"
    "  --vmm-fd N\n"
    "  --observe-fd N\n"
    "  --manage-mode MODE, --manage-owner USER[:GROUP]\n"
    "  --vmm-mode MODE, --vmm-owner USER[:GROUP]\n"
    "  --observe-mode MODE, --observe-owner USER[:GROUP]\n"
    "                     who may connect to these sockets: mode and owner of their\n"
    "                     files, 0600 and the helper's if not given; names or numbers,\n"
    "                     :GROUP alone is possible\n"
    "  --manager-uid UID  a user who may manage, besides root and the one who\n"
    "                     starts the helper\n"
    "Sockets passed by systemd are taken by their names: manage, vmm, observe.\n"
    "\n"
    "Sets:\n"
    "  --add-fd fd=N,set=M[,opaque=S]\n"
    "                     start with inherited descriptor N in set M; a comma in\n"
    "                     S is written twice (QEMU's -add-fd)\n"
    "\n"
    "Running:\n"
    "  --linger           go on when the emulator that spawned it hangs up\n"
    "  --user USER[:GROUP]\n"
    "                     who to become if started as root (65534:65534)\n"
    "  --sandbox MODE     enforce: end if a stage fails (the default);\n"
    "                     best-effort: go on without it; log: let seccomp only log\n"
    "  --limit NAME=N     sets (1024), members (4096), leases (16384),\n"
    "                     leases-per-vmm (8192), connections (64), waiting (256),\n"
    "                     holds (1024), events (256)\n"
    "  --ready-fd N       write a line to inherited descriptor N, and close it, as\n"
    "                     soon as others can connect\n"
    "  --quiet            no ready line on standard error\n"
    "  --verbose          a ready line also when spawned by an emulator\n"
    "  --help, --version\n"
    "\n"
    "Exit status: 0 when there is nobody left to serve or a signal ended it, 1 if\n"
    "it could not start, 2 for a wrong command line.\n";

static void die_usage(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

static void die_usage(const char *format, ...) {
    va_list arguments;

    fputs("fdset-helper: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    /* As it was called: it is in nobody's PATH. */
    fprintf(stderr, "\nTry '%s --help'.\n", program_invocation_name);
    exit(2);
}

/* A decimal number of at most `most`, whole. */
static bool parse_number(const char *text, uint64_t most, uint64_t *value) {
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0' && *value <= most;
}

static uint64_t number(const char *option, const char *text, uint64_t most) {
    uint64_t value;
    if (!parse_number(text, most, &value))
        die_usage("%s: not a number from 0 to %llu: '%s'", option, (unsigned long long)most, text);
    return value;
}

/* Close-on-exec would have closed what we were meant to get: that is something
 * of our own. */
static bool is_inherited(int fd) {
    int flags = fcntl(fd, F_GETFD);
    return flags >= 0 && !(flags & FD_CLOEXEC);
}

static void add_endpoint(struct options *options, enum role role, const char *path,
                         const char *fd) {
    if (options->endpoint_count == OPTIONS_MAX_ENDPOINTS)
        die_usage("at most %d sockets", OPTIONS_MAX_ENDPOINTS);
    struct endpoint *endpoint = &options->endpoints[options->endpoint_count++];
    *endpoint = (struct endpoint){role, path, -1};
    if (fd)
        endpoint->fd = (int)number("an inherited socket", fd, INT_MAX);
    if (fd && endpoint->fd <= STDERR_FILENO)
        die_usage("a socket cannot be a standard I/O stream: %s", fd);
}

/* Cuts the next "key=value" off `*text`, undoubling commas in place. */
static bool next_pair(char **text, char **key, char **value) {
    char *from = *text, *to;

    if (!from || !*from)
        return false;
    *key = from;
    *value = NULL;
    for (to = from; *from && !(from[0] == ',' && from[1] != ','); from++, to++) {
        if (*from == ',')
            from++;
        *to = *from;
        if (*to == '=' && !*value) {
            *to = '\0';
            *value = to + 1;
        }
    }
    *text = *from ? from + 1 : NULL;
    *to = '\0';
    return true;
}

/* QEMU's constraints and, where they are as clear, its words (system/vl.c). */
static void parse_add_fd(struct options *options, char *text) {
    struct add_fd add = {.fd = -1};
    uint64_t fd = UINT64_MAX, set = UINT64_MAX;
    char *key, *value;

    while (next_pair(&text, &key, &value)) {
        if (!value)
            die_usage("--add-fd: '%s' has no value: expected fd=N,set=M[,opaque=S]", key);
        if (strcmp(key, "opaque") == 0)
            add.opaque = value;
        else if (strcmp(key, "fd") != 0 && strcmp(key, "set") != 0)
            die_usage("--add-fd: invalid parameter '%s': expected fd, set or opaque", key);
        else if (value[0] != '-' && !parse_number(value, INT64_MAX, key[0] == 'f' ? &fd : &set))
            die_usage("--add-fd: parameter '%s' expects a number", key);
    }
    if (fd > INT_MAX)
        die_usage("--add-fd: fd option is required and must be non-negative");
    if (fd <= STDERR_FILENO)
        die_usage("--add-fd: fd cannot be a standard I/O stream");
    if (set > INT_MAX)
        die_usage("--add-fd: set option is required and must be from 0 to %d", INT_MAX);
    if (add.opaque && strlen(add.opaque) > FDSET_MAX_OPAQUE_BYTES)
        die_usage("--add-fd: opaque has at most %d bytes", FDSET_MAX_OPAQUE_BYTES);
    if (!is_inherited((int)fd))
        die_usage("--add-fd: fd %d is not valid or already in use", (int)fd);
    if (options->add_fd_count == FDSET_MAX_DESCRIPTORS)
        die_usage("--add-fd: at most %d", FDSET_MAX_DESCRIPTORS);
    add.fd = (int)fd;
    add.set = (uint32_t)set;
    options->add_fds[options->add_fd_count++] = add;
}

static void die_of_account(const char *option, const char *text, const char *what, const char *file)
    __attribute__((noreturn));

static void die_of_account(const char *option, const char *text, const char *what,
                           const char *file) {
    if (text[0] && !text[strspn(text, "0123456789")])
        die_usage("%s: no %s has the number %s", option, what, text);
    die_usage("%s: there is no %s '%s' in %s: give a number", option, what, text, file);
}

static uid_t user(const char *option, const char *text, gid_t *login) {
    uid_t uid;
    if (!account_user(text, &uid, login))
        die_of_account(option, text, "user", "/etc/passwd");
    return uid;
}

static gid_t group(const char *option, const char *text) {
    gid_t gid;
    if (!account_group(text, &gid))
        die_of_account(option, text, "group", "/etc/group");
    return gid;
}

static void die_of_owner(const char *option) __attribute__((noreturn));

static void die_of_owner(const char *option) {
    die_usage("%s: expected USER or USER:GROUP, by names or numbers", option);
}

/* Cuts the group off USER:GROUP: what follows the colon, or NULL where there is none. */
static char *cut_group(const char *option, char *text) {
    char *colon = strchr(text, ':');

    if (colon)
        *colon++ = '\0';
    if (colon ? !*colon : !*text)
        die_of_owner(option);
    return colon;
}

static void add_manager(struct options *options, const char *option, uid_t uid) {
    struct manager_policy *managers = &options->managers;

    for (uint32_t i = 0; i < managers->count; i++)
        if (managers->uids[i] == uid)
            return;
    if (managers->count == MANAGER_UIDS)
        die_usage("%s: too many managers", option);
    managers->uids[managers->count++] = uid;
}

static void parse_ready_fd(struct options *options, const char *text) {
    int fd = (int)number("--ready-fd", text, INT_MAX);

    if (fd == STDIN_FILENO || fd == STDERR_FILENO)
        die_usage("--ready-fd: 1, or a number from 3 on, not %d", fd);
    if (!is_inherited(fd) || (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
        die_usage("--ready-fd: descriptor %d is not open for writing: in a shell, say "
                  "%d>FILE after it",
                  fd, fd);
    options->ready_fd = fd;
}

static void parse_limit(struct options *options, char *text) {
    char *equals = strchr(text, '=');

    if (!equals)
        die_usage("--limit: expected NAME=N: '%s'", text);
    *equals = '\0';
    uint32_t *limit = limits_find(&options->limits, text);
    if (!limit)
        die_usage("--limit: there is no limit called '%s'", text);
    uint64_t value = number("--limit", equals + 1, LIMITS_LARGEST);
    if (value == 0)
        die_usage("--limit: %s must be 1 or more", text);
    *limit = (uint32_t)value;
    options->members_given |= limit == &options->limits.members;
    options->connections_given |= limit == &options->limits.connections;
}

static void parse_user(struct options *options, char *text) {
    gid_t login = (gid_t)-1;
    char *after = cut_group("--user", text);

    if (!text[0])
        die_of_owner("--user");
    options->uid = user("--user", text, &login);
    options->gid = after                ? group("--user", after)
                   : login != (gid_t)-1 ? login
                                        : (gid_t)options->uid;
    if (options->uid == 0)
        die_usage("--user: 0 would keep root's power over its own files");
}

static void parse_mode(struct options *options, enum role role, const char *option,
                       const char *text) {
    char *end;
    unsigned long mode = strtoul(text, &end, 8);

    if (text[0] < '0' || text[0] > '7' || *end || mode > 0777)
        die_usage("%s: an octal mode from 0 to 0777, as 0660, not '%s'", option, text);
    options->access[role].mode = (mode_t)mode;
    options->access[role].option = option;
}

static void parse_owner(struct options *options, enum role role, const char *option, char *text) {
    struct socket_access *access = &options->access[role];
    char *after = cut_group(option, text);

    access->owner = text[0] ? user(option, text, NULL) : (uid_t)-1;
    access->group = after ? group(option, after) : (gid_t)-1;
    access->option = option;
    if (role == ROLE_MANAGER && text[0])
        add_manager(options, option, access->owner);
}

/* A mode that no socket gets would be believed to protect one. */
static void check_access(const struct options *options) {
    for (enum role role = ROLE_VMM; role <= ROLE_OBSERVER; role++) {
        const struct socket_access *access = &options->access[role];
        bool used = false;
        for (size_t i = 0; i < options->endpoint_count; i++)
            used |= options->endpoints[i].path && options->endpoints[i].role == role;
        if (access->option && !used)
            die_usage("%s: no socket is made by --%s PATH, and an inherited one stays as it is",
                      access->option,
                      role == ROLE_MANAGER ? "manage"
                      : role == ROLE_VMM   ? "vmm"
                                           : "observe");
    }
}

/* What one option consumes is nothing for another; and one socket has one role. */
static void check_numbers(const struct options *options) {
    int numbers[OPTIONS_MAX_ENDPOINTS + 1];
    size_t count = 0;

    if (options->ready_fd >= 0)
        numbers[count++] = options->ready_fd;
    for (size_t i = 0; i < options->endpoint_count; i++)
        if (!options->endpoints[i].path)
            numbers[count++] = options->endpoints[i].fd;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++)
            if (numbers[i] == numbers[j])
                die_usage("descriptor %d is given to two options", numbers[i]);
        for (size_t j = 0; j < options->add_fd_count; j++)
            if (numbers[i] == options->add_fds[j].fd)
                die_usage("descriptor %d is given to two options", numbers[i]);
    }
}

static void parse_sandbox(struct options *options, const char *text) {
    static const char *const modes[] = {"enforce", "best-effort", "log"};

    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
        if (strcmp(text, modes[i]) == 0) {
            options->confine = (enum confine_mode)i;
            return;
        }
    die_usage("--sandbox: enforce, best-effort or log, not '%s'", text);
}

/* The shipped unit sets it, and whoever replaces its command line keeps it:
 * nothing that was meant for a test run weakens the sandbox of a service. */
static void check_sandbox(const struct options *options) {
    const char *least = getenv("FDSET_SANDBOX");

    if (least && strcmp(least, "enforce") != 0)
        die_usage("FDSET_SANDBOX: enforce or not set, not '%s'", least);
    if (least && options->confine != CONFINE_ENFORCE)
        die_usage("--sandbox: FDSET_SANDBOX=enforce allows nothing less");
}

enum choice {
    MANAGE = 256,
    VMM,
    OBSERVE,
    MANAGE_FD,
    VMM_FD,
    OBSERVE_FD,
    MANAGE_MODE,
    VMM_MODE,
    OBSERVE_MODE,
    MANAGE_OWNER,
    VMM_OWNER,
    OBSERVE_OWNER,
    MANAGER_UID,
    ADD_FD,
    LINGER,
    USER,
    SANDBOX,
    LIMIT,
    READY_FD,
    QUIET,
    VERBOSE,
    HELP,
    VERSION
};

static const struct option choices[] = {
    {"manage", required_argument, NULL, MANAGE},
    {"vmm", required_argument, NULL, VMM},
    {"observe", required_argument, NULL, OBSERVE},
    {"manage-fd", required_argument, NULL, MANAGE_FD},
    {"vmm-fd", required_argument, NULL, VMM_FD},
    {"observe-fd", required_argument, NULL, OBSERVE_FD},
    {"manage-mode", required_argument, NULL, MANAGE_MODE},
    {"vmm-mode", required_argument, NULL, VMM_MODE},
    {"observe-mode", required_argument, NULL, OBSERVE_MODE},
    {"manage-owner", required_argument, NULL, MANAGE_OWNER},
    {"vmm-owner", required_argument, NULL, VMM_OWNER},
    {"observe-owner", required_argument, NULL, OBSERVE_OWNER},
    {"manager-uid", required_argument, NULL, MANAGER_UID},
    {"add-fd", required_argument, NULL, ADD_FD},
    {"linger", no_argument, NULL, LINGER},
    {"user", required_argument, NULL, USER},
    {"sandbox", required_argument, NULL, SANDBOX},
    {"limit", required_argument, NULL, LIMIT},
    {"ready-fd", required_argument, NULL, READY_FD},
    {"quiet", no_argument, NULL, QUIET},
    {"verbose", no_argument, NULL, VERBOSE},
    {"help", no_argument, NULL, HELP},
    {"version", no_argument, NULL, VERSION},
    {0},
};

static void finish(const char *text) {
    bool written = fputs(text, stdout) >= 0 && fflush(stdout) == 0;
    exit(written ? 0 : 1);
}

static void apply(struct options *options, int choice, char *value) {
    switch (choice) {
    case MANAGE:
    case MANAGE_FD:
        add_endpoint(options, ROLE_MANAGER, choice == MANAGE ? value : NULL,
                     choice == MANAGE ? NULL : value);
        break;
    case VMM:
    case VMM_FD:
        add_endpoint(options, ROLE_VMM, choice == VMM ? value : NULL, choice == VMM ? NULL : value);
        break;
    case OBSERVE:
    case OBSERVE_FD:
        add_endpoint(options, ROLE_OBSERVER, choice == OBSERVE ? value : NULL,
                     choice == OBSERVE ? NULL : value);
        break;
    case MANAGER_UID:
        add_manager(options, "--manager-uid",
                    (uid_t)number("--manager-uid", value, UINT32_MAX - 1));
        break;
    case MANAGE_MODE:
        parse_mode(options, ROLE_MANAGER, "--manage-mode", value);
        break;
    case VMM_MODE:
        parse_mode(options, ROLE_VMM, "--vmm-mode", value);
        break;
    case OBSERVE_MODE:
        parse_mode(options, ROLE_OBSERVER, "--observe-mode", value);
        break;
    case MANAGE_OWNER:
        parse_owner(options, ROLE_MANAGER, "--manage-owner", value);
        break;
    case VMM_OWNER:
        parse_owner(options, ROLE_VMM, "--vmm-owner", value);
        break;
    case OBSERVE_OWNER:
        parse_owner(options, ROLE_OBSERVER, "--observe-owner", value);
        break;
    case ADD_FD:
        parse_add_fd(options, value);
        break;
    case LINGER:
        options->linger = true;
        break;
    case USER:
        parse_user(options, value);
        break;
    case SANDBOX:
        parse_sandbox(options, value);
        break;
    case LIMIT:
        parse_limit(options, value);
        break;
    case READY_FD:
        parse_ready_fd(options, value);
        break;
    case QUIET:
        options->quiet = true;
        break;
    case VERBOSE:
        options->verbose = true;
        break;
    case HELP:
        finish(help);
        break;
    case VERSION:
        finish("fdset-helper " HELPER_VERSION "\n");
        break;
    default:
        /* getopt has said what is wrong */
        fprintf(stderr, "Try '%s --help'.\n", program_invocation_name);
        exit(2);
    }
}

void options_parse(struct options *options, int argc, char **argv) {
    int choice;

    *options = (struct options){
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

    while ((choice = getopt_long(argc, argv, "", choices, NULL)) != -1)
        apply(options, choice, optarg);
    if (optind < argc)
        die_usage("unexpected argument '%s'", argv[optind]);
    check_sandbox(options);
    check_access(options);
    check_numbers(options);
    /* In a user namespace of its own the helper could not tell one stranger
     * from another; only root can do without. */
    if (geteuid() != 0 && options->managers.count > 2)
        die_usage("--manager-uid, --manage-owner: only a helper that root starts can tell users "
                  "apart");
}

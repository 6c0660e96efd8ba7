/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "base/words.h"
#include "name.h"
#include "number.h"
#include "verbs/add.h"

static const char help[] =
    "Usage: fdsetctl add [OPTION]... FILE...\n"
    "  or:  fdsetctl add [OPTION]... --fd N...\n"
    "Open each FILE and put it into a set of its own, or put inherited descriptors\n"
    "of one file into one set: all of it or nothing. Prints the path that the VMM\n"
    "is to open. A set stays until 'fdsetctl remove'.\n"
    "\n"
    "  -s, --set N          the set, new or not; default: a new number\n"
    "      --name NAME      the name of the set, for /dev/fdset/NAME; without --set, the set\n"
    "                       that has the name, if there is one\n"
    "      --replace        take out the set's other members in the same step\n"
    "  -o, --opaque TEXT    a label by which you find the members again\n"
    "      --fd N           descriptor N instead of a file; may be repeated\n"
    "\n"
    "How to open, one member for each access mode that is given:\n"
    "  -r, --read-only      (this is the default)\n"
    "  -w, --read-write\n"
    "      --write-only     for logs\n"
    "      --direct         O_DIRECT, for cache=none\n"
    "      --append         O_APPEND\n"
    "      --sync           O_SYNC\n"
    "      --copies N       N members of each mode, each opened anew: for N VMMs, each of\n"
    "                       which has its own locks\n"
    "\n"
    "What the helper is to do with the members:\n"
    "                       Without the next three options, one VMM at a time may have\n"
    "                       leases of a member, whatever the mode.\n"
    "      --shared         any number of VMMs may have leases; they share the locks\n"
    "      --exclusive      there may be one lease at a time\n"
    "      --sharing exclusive|shared\n"
    "                       the same\n"
    "      --serves-read-only\n"
    "                       the read-write member serves read-only opens too\n"
    "      --keep-content   opens do not truncate\n"
    "      --keep-locks     locks stay when the last lease ends\n"
    "\n"
    "      --allow-socket   the descriptor may be a socket\n"
    "\n"
    "What a new set is to be; TIME is a number with ms, s or min:\n"
    "      --lifetime keep  until 'fdsetctl remove' (this is the default)\n"
    "      --lifetime idle --idle TIME\n"
    "                       until nobody has had it open for so long\n"
    "      --lifetime once --grace TIME\n"
    "                       until the first open that succeeds, but no longer than TIME\n"
    "      --lifetime connection --grace TIME\n"
    "                       for TIME, unless a manager of the same --owner takes the\n"
    "                       set over; what is open then stays open\n"
    "      --mixed          its members may be of different files; all FILEs go into it\n"
    "      --owner LABEL    a label by which a manager finds the set again\n"
    "\n"
    "  -p, --path           print the paths alone, for scripts\n"
    "  -j, --json           print JSON\n"
    "  -n, --no-headings    no line with the columns' names\n" COMMON_OPTIONS_TEXT;

static void fd_read(struct add_options *options, const char *text) {
    if (options->fd_count == MAX_MEMBERS)
        usage_error(options->name, "at most %d descriptors in one command", MAX_MEMBERS);
    if (!int_parse(text, &options->fds[options->fd_count++]))
        usage_error(options->name, "--fd: '%s' is not the number of a descriptor", text);
}

static void sharing_set(struct add_options *options, enum fdset_sharing sharing) {
    if (options->member.sharing != FDSET_SHARING_DEFAULT && options->member.sharing != sharing)
        usage_error(options->name, "give either --shared or --exclusive, not both");
    options->member.sharing = sharing;
}

static void sharing_read(struct add_options *options, const char *text) {
    if (!strcmp(text, "exclusive"))
        sharing_set(options, FDSET_EXCLUSIVE);
    else if (!strcmp(text, "shared"))
        sharing_set(options, FDSET_SHARED);
    else
        usage_error(options->name, "--sharing: '%s' is neither 'exclusive' nor 'shared'", text);
}

/* Options without a short form. */
enum {
    OPTION_FD = 256,
    OPTION_WRITE_ONLY,
    OPTION_DIRECT,
    OPTION_APPEND,
    OPTION_SYNC,
    OPTION_SHARING,
    OPTION_SHARED,
    OPTION_EXCLUSIVE,
    OPTION_COPIES,
    OPTION_SERVES_READ_ONLY,
    OPTION_KEEP_CONTENT,
    OPTION_KEEP_LOCKS,
    OPTION_ALLOW_SOCKET,
    OPTION_NAME,
    OPTION_REPLACE,
    OPTION_LIFETIME,
    OPTION_GRACE,
    OPTION_IDLE,
    OPTION_MIXED,
    OPTION_OWNER,
};

static void owner_read(struct add_options *options, const char *text) {
    size_t length = strlen(text);

    if (length < 1 || length > 63)
        usage_error(options->name, "--owner: a label has 1 to 63 bytes");
    for (; *text; text++)
        if (*text < ' ' || *text > '~')
            usage_error(options->name, "--owner: a label is of printable ASCII");
    options->owner = text - length;
}

static void milliseconds_read(const struct add_options *options, const char *option,
                              const char *text, uint32_t *milliseconds) {
    if (!time_parse(text, milliseconds))
        usage_error(options->name, "%s: '%s' is not a time: give a number from 1 with ms, s or min",
                    option, text);
}

/* Options that lay down what a set is to be. */
static void set_option_read(struct add_options *options, int option, const char *argument) {
    switch (option) {
    case OPTION_NAME:
        if (!set_name_is_valid(argument))
            usage_error(
                options->name,
                "--name: '%s' is not a name: 1 to 255 bytes of UTF-8 without '/' and control "
                "characters, not '.' or '..' and not of digits alone",
                argument);
        options->each.name = argument;
        break;
    case OPTION_REPLACE:
        options->each.replace = true;
        break;
    case OPTION_LIFETIME:
        if (!lifetime_parse(argument, &options->each.lifetime))
            usage_error(options->name, "--lifetime: '%s' is not keep, idle, once or connection",
                        argument);
        break;
    case OPTION_GRACE:
        milliseconds_read(options, "--grace", argument, &options->each.grace_ms);
        break;
    case OPTION_IDLE:
        milliseconds_read(options, "--idle", argument, &options->each.idle_ms);
        break;
    case OPTION_MIXED:
        options->each.mixed = true;
        break;
    case OPTION_OWNER:
        owner_read(options, argument);
        break;
    default:
        common_option(option, argument, &options->socket, help);
    }
}

/* Options that lay down what the members are to be. */
static void member_option_read(struct add_options *options, int option, const char *argument) {
    switch (option) {
    case OPTION_DIRECT:
        options->status_flags |= O_DIRECT;
        break;
    case OPTION_APPEND:
        options->status_flags |= O_APPEND;
        break;
    case OPTION_SYNC:
        options->status_flags |= O_SYNC;
        break;
    case OPTION_SHARING:
        sharing_read(options, argument);
        break;
    case OPTION_SHARED:
        sharing_set(options, FDSET_SHARED);
        break;
    case OPTION_EXCLUSIVE:
        sharing_set(options, FDSET_EXCLUSIVE);
        break;
    case OPTION_COPIES:
        if (!number32_parse(argument, MAX_MEMBERS, &options->copies) || !options->copies)
            usage_error(options->name, "--copies: '%s' is not a number from 1 to %d", argument,
                        MAX_MEMBERS);
        break;
    case OPTION_SERVES_READ_ONLY:
        options->member.serves_read_only = true;
        break;
    case OPTION_KEEP_CONTENT:
        options->member.keep_content = true;
        break;
    case OPTION_KEEP_LOCKS:
        options->member.keep_locks = true;
        break;
    case OPTION_ALLOW_SOCKET:
        options->member.allow_socket = true;
        break;
    default:
        set_option_read(options, option, argument);
    }
}

static void option_read(struct add_options *options, int option, const char *argument) {
    switch (option) {
    case 's':
        if (!set_parse(argument, &options->set))
            usage_error(options->name, "--set: '%s' is not a number from 0 to %d", argument,
                        INT_MAX);
        break;
    case 'o':
        if (strlen(argument) > FDSET_MAX_OPAQUE_BYTES)
            usage_error(options->name, "--opaque: at most %d bytes", FDSET_MAX_OPAQUE_BYTES);
        options->member.opaque = argument;
        break;
    case OPTION_FD:
        fd_read(options, argument);
        break;
    case 'r':
        options->modes[READ_ONLY] = true;
        break;
    case 'w':
        options->modes[READ_WRITE] = true;
        break;
    case OPTION_WRITE_ONLY:
        options->modes[WRITE_ONLY] = true;
        break;
    case 'p':
        options->path = true;
        break;
    case 'j':
        options->json = true;
        break;
    case 'n':
        options->headings = false;
        break;
    default:
        member_option_read(options, option, argument);
    }
}

size_t add_mode_count(const struct add_options *options) {
    size_t count = 0;

    for (size_t i = 0; i < MODE_COUNT; i++)
        count += options->modes[i];
    return count;
}

/* "connection" and "once" end with the manager's connection, and this program's
 * ends at once. */
static void lifetime_check(struct add_options *options) {
    enum fdset_lifetime lifetime = options->each.lifetime;
    bool ends_with_us = lifetime == FDSET_CONNECTION || lifetime == FDSET_ONCE;

    if (ends_with_us && !options->each.grace_ms)
        usage_error(options->name,
                    "--lifetime %s ends with the connection of fdsetctl, which is at once: give it "
                    "--grace TIME",
                    lifetime_word(lifetime));
    if (!ends_with_us && options->each.grace_ms)
        usage_error(options->name, "--grace is for --lifetime once or connection");
    if (lifetime == FDSET_IDLE && !options->each.idle_ms)
        usage_error(options->name, "--lifetime idle needs its time: give --idle TIME");
    if (lifetime != FDSET_IDLE && options->each.idle_ms)
        usage_error(options->name, "--idle is for --lifetime idle");
}

static void set_check(struct add_options *options) {
    const struct fdset_add *each = &options->each;
    bool known = options->set != FDSET_NEW_SET || each->name;

    if (options->file_count > 1 && known && !each->mixed)
        usage_error(options->name, "--set and --name take one FILE: all members of a set are of "
                                   "the same file, unless it is --mixed");
    if (each->replace && !known)
        usage_error(options->name, "--replace: say which set by --set or --name");
    lifetime_check(options);
}

static void options_check(struct add_options *options) {
    const char *name = options->name;

    if (!options->file_count && !options->fd_count)
        usage_error(name, "nothing to add: give a FILE or --fd N");
    if (options->file_count && options->fd_count)
        usage_error(name, "give either files or --fd, not both");
    if (options->fd_count && (add_mode_count(options) || options->status_flags))
        usage_error(name,
                    "--fd passes a descriptor as it is: access modes and flags are for FILEs");
    if (options->fd_count && options->copies)
        usage_error(
            name, "--copies opens a FILE several times: it cannot open a descriptor of --fd again");
    if (options->copies > 1 && options->member.sharing == FDSET_SHARED)
        usage_error(name, "give either --copies or --shared, not both: one shared member serves "
                          "any number of VMMs");
    if (!options->copies)
        options->copies = 1;
    if (options->file_count && options->member.allow_socket)
        usage_error(name, "--allow-socket is for --fd: a socket cannot be opened by its path");
    set_check(options);
    if (options->path && options->json)
        usage_error(name, "give either --path or --json, not both");
    if (!add_mode_count(options))
        options->modes[READ_ONLY] = true;
    if (options->member.serves_read_only && !options->fd_count && !options->modes[READ_WRITE])
        usage_error(name, "--serves-read-only is for a member that is opened --read-write");
    if (options->file_count > MAX_MEMBERS / (add_mode_count(options) * options->copies))
        usage_error(name, "at most %d members in one command", MAX_MEMBERS);
}

void add_options_read(struct add_options *options, int argc, char **argv) {
    static const struct option table[] = {
        {"set", required_argument, NULL, 's'},
        {"opaque", required_argument, NULL, 'o'},
        {"fd", required_argument, NULL, OPTION_FD},
        {"read-only", no_argument, NULL, 'r'},
        {"read-write", no_argument, NULL, 'w'},
        {"write-only", no_argument, NULL, OPTION_WRITE_ONLY},
        {"direct", no_argument, NULL, OPTION_DIRECT},
        {"append", no_argument, NULL, OPTION_APPEND},
        {"sync", no_argument, NULL, OPTION_SYNC},
        {"sharing", required_argument, NULL, OPTION_SHARING},
        {"shared", no_argument, NULL, OPTION_SHARED},
        {"exclusive", no_argument, NULL, OPTION_EXCLUSIVE},
        {"copies", required_argument, NULL, OPTION_COPIES},
        {"serves-read-only", no_argument, NULL, OPTION_SERVES_READ_ONLY},
        {"keep-content", no_argument, NULL, OPTION_KEEP_CONTENT},
        {"keep-locks", no_argument, NULL, OPTION_KEEP_LOCKS},
        {"allow-socket", no_argument, NULL, OPTION_ALLOW_SOCKET},
        {"name", required_argument, NULL, OPTION_NAME},
        {"replace", no_argument, NULL, OPTION_REPLACE},
        {"lifetime", required_argument, NULL, OPTION_LIFETIME},
        {"grace", required_argument, NULL, OPTION_GRACE},
        {"idle", required_argument, NULL, OPTION_IDLE},
        {"mixed", no_argument, NULL, OPTION_MIXED},
        {"owner", required_argument, NULL, OPTION_OWNER},
        {"path", no_argument, NULL, 'p'},
        {"json", no_argument, NULL, 'j'},
        {"no-headings", no_argument, NULL, 'n'},
        COMMON_OPTIONS,
    };
    int option;

    while ((option = getopt_long(argc, argv, "s:o:rwpjn" COMMON_SHORT_OPTIONS, table, NULL)) >= 0)
        option_read(options, option, optarg);
    options->files = argv + optind;
    options->file_count = argc - optind;
    options_check(options);
}

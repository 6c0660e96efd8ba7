/* SPDX-License-Identifier: MIT */
/* The command line of fdsetctl add: its help, its options, and which of them go together. */
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
    "      --for NAME       only for the virtual machine that the helper's command line calls\n"
    "                       NAME: for others there is no such set\n"
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

/* ------------------------------------------------------------ one by one */

static void fd_option(void *place, const char *name, const char *argument) {
    struct add_options *options = place;

    if (options->fd_count == MAX_MEMBERS)
        die_usage("at most %d descriptors in one command", MAX_MEMBERS);
    if (!int_parse(argument, &options->fds[options->fd_count++]))
        die_usage("--%s: '%s' is not the number of a descriptor", name, argument);
}

static void set_option(void *place, const char *name, const char *argument) {
    if (!set_parse(argument, place))
        die_usage("--%s: '%s' is not a number from 0 to %d", name, argument, INT_MAX);
}

static void name_option(void *place, const char *name, const char *argument) {
    if (!set_name_is_valid(argument))
        die_usage("--%s: '%s' is not a name: 1 to %d bytes of UTF-8 without '/' and control "
                  "characters, not '.' or '..' and not of digits alone",
                  name, argument, FDSET_MAX_SET_NAME_BYTES);
    *(const char **)place = argument;
}

static void opaque_option(void *place, const char *name, const char *argument) {
    if (strlen(argument) > FDSET_MAX_OPAQUE_BYTES)
        die_usage("--%s: at most %d bytes", name, FDSET_MAX_OPAQUE_BYTES);
    *(const char **)place = argument;
}

static void owner_option(void *place, const char *name, const char *argument) {
    size_t length = strlen(argument);

    if (length < 1 || length > FDSET_MAX_NAME_BYTES)
        die_usage("--%s: a label has 1 to %d bytes", name, FDSET_MAX_NAME_BYTES);
    for (const char *next = argument; *next; next++)
        if (*next < ' ' || *next > '~')
            die_usage("--%s: a label is of printable ASCII", name);
    *(const char **)place = argument;
}

static void for_option(void *place, const char *name, const char *argument) {
    size_t length = strlen(argument);

    if (length < 1 || length > FDSET_MAX_NAME_BYTES)
        die_usage("--%s: a virtual machine's name has 1 to %d bytes", name, FDSET_MAX_NAME_BYTES);
    *(const char **)place = argument;
}

static void sharing_option(void *place, const char *name, const char *argument) {
    struct add_options *options = place;

    if (strcmp(argument, "exclusive") == 0)
        options->exclusive = true;
    else if (strcmp(argument, "shared") == 0)
        options->shared = true;
    else
        die_usage("--%s: '%s' is neither 'exclusive' nor 'shared'", name, argument);
}

static void copies_option(void *place, const char *name, const char *argument) {
    uint32_t *copies = place;

    if (!number32_parse(argument, MAX_MEMBERS, copies) || *copies == 0)
        die_usage("--%s: '%s' is not a number from 1 to %d", name, argument, MAX_MEMBERS);
}

static void lifetime_option(void *place, const char *name, const char *argument) {
    if (!lifetime_parse(argument, place))
        die_usage("--%s: '%s' is not keep, idle, once or connection", name, argument);
}

static void time_option(void *place, const char *name, const char *argument) {
    if (!time_parse(argument, place))
        die_usage("--%s: '%s' is not a time: give a number from 1 with ms, s or min", name,
                  argument);
}

#define PLACE(member) offsetof(struct add_options, member)

static const struct verb_option table[] = {
    /* the set */
    {"set", required_argument, 's', PLACE(set), set_option},
    {"name", required_argument, 0, PLACE(each.name), name_option},
    {"for", required_argument, 0, PLACE(each.reserved_for), for_option},
    {"replace", no_argument, 0, PLACE(each.replace)},
    {"lifetime", required_argument, 0, PLACE(each.lifetime), lifetime_option},
    {"grace", required_argument, 0, PLACE(each.grace_ms), time_option},
    {"idle", required_argument, 0, PLACE(each.idle_ms), time_option},
    {"mixed", no_argument, 0, PLACE(each.mixed)},
    {"owner", required_argument, 0, PLACE(owner), owner_option},
    /* how to open */
    {"fd", required_argument, 0, 0, fd_option},
    {"read-only", no_argument, 'r', PLACE(modes[READ_ONLY])},
    {"read-write", no_argument, 'w', PLACE(modes[READ_WRITE])},
    {"write-only", no_argument, 0, PLACE(modes[WRITE_ONLY])},
    {"direct", no_argument, 0, PLACE(direct)},
    {"append", no_argument, 0, PLACE(append)},
    {"sync", no_argument, 0, PLACE(sync)},
    {"copies", required_argument, 0, PLACE(copies), copies_option},
    /* the members */
    {"opaque", required_argument, 'o', PLACE(member.opaque), opaque_option},
    {"sharing", required_argument, 0, 0, sharing_option},
    {"shared", no_argument, 0, PLACE(shared)},
    {"exclusive", no_argument, 0, PLACE(exclusive)},
    {"serves-read-only", no_argument, 0, PLACE(member.serves_read_only)},
    {"keep-content", no_argument, 0, PLACE(member.keep_content)},
    {"keep-locks", no_argument, 0, PLACE(member.keep_locks)},
    {"allow-socket", no_argument, 0, PLACE(member.allow_socket)},
    /* what is printed */
    {"path", no_argument, 'p', PLACE(path)},
    {"json", no_argument, 'j', PLACE(json)},
    {"no-headings", no_argument, 'n', PLACE(no_headings)},
    {NULL},
};

int add_status_flags(const struct add_options *options) {
    return (options->direct ? O_DIRECT : 0) | (options->append ? O_APPEND : 0) |
           (options->sync ? O_SYNC : 0);
}

/* -------------------------------------------------------------- together */

/* How many access modes are asked for. */
static size_t mode_count(const struct add_options *options) {
    size_t count = 0;

    for (size_t i = 0; i < MODE_COUNT; i++)
        count += options->modes[i];
    return count;
}

/* "connection" and "once" end with the manager's connection, and this program's
 * ends at once. */
static void lifetime_check(const struct fdset_add *each) {
    bool ends_with_us = each->lifetime == FDSET_CONNECTION || each->lifetime == FDSET_ONCE;

    if (ends_with_us && !each->grace_ms)
        die_usage("--lifetime %s ends with the connection of fdsetctl, which is at once: give it "
                  "--grace TIME",
                  lifetime_word(each->lifetime));
    if (!ends_with_us && each->grace_ms)
        die_usage("--grace is for --lifetime once or connection");
    if (each->lifetime == FDSET_IDLE && !each->idle_ms)
        die_usage("--lifetime idle needs its time: give --idle TIME");
    if (each->lifetime != FDSET_IDLE && each->idle_ms)
        die_usage("--idle is for --lifetime idle");
}

static void set_check(const struct add_options *options) {
    const struct fdset_add *each = &options->each;
    bool known = options->set != FDSET_NEW_SET || each->name;

    if (options->file_count > 1 && known && !each->mixed)
        die_usage("--set and --name take one FILE: all members of a set are of the same file, "
                  "unless it is --mixed");
    if (each->replace && !known)
        die_usage("--replace: say which set by --set or --name");
    lifetime_check(each);
}

/* What cannot be said of a descriptor that is there, or of a file that is not. */
static void source_check(const struct add_options *options) {
    if (!options->file_count && !options->fd_count)
        die_usage("nothing to add: give a FILE or --fd N");
    if (options->file_count && options->fd_count)
        die_usage("give either files or --fd, not both");
    if (options->fd_count && (mode_count(options) || add_status_flags(options)))
        die_usage("--fd passes a descriptor as it is: access modes and flags are for FILEs");
    if (options->fd_count && options->copies)
        die_usage("--copies opens a FILE several times: it cannot open a descriptor of --fd again");
    if (options->file_count && options->member.allow_socket)
        die_usage("--allow-socket is for --fd: a socket cannot be opened by its path");
}

static void members_check(struct add_options *options) {
    if (options->shared && options->exclusive)
        die_usage("give either --shared or --exclusive, not both");
    if (options->copies > 1 && options->shared)
        die_usage("give either --copies or --shared, not both: one shared member serves "
                  "any number of VMMs");
    if (!options->copies)
        options->copies = 1;
    if (!mode_count(options))
        options->modes[READ_ONLY] = true;
    if (options->member.serves_read_only && !options->fd_count && !options->modes[READ_WRITE])
        die_usage("--serves-read-only is for a member that is opened --read-write");
    if (options->file_count > MAX_MEMBERS / (mode_count(options) * options->copies))
        die_usage("at most %d members in one command", MAX_MEMBERS);
    options->member.sharing = options->shared      ? FDSET_SHARED
                              : options->exclusive ? FDSET_EXCLUSIVE
                                                   : FDSET_SHARING_DEFAULT;
}

void add_options_read(struct add_options *options, struct verb_line *line) {
    options_read(line, help, table, options);
    options->files = line->words;
    options->file_count = line->count;
    source_check(options);
    set_check(options);
    members_check(options);
    if (options->path && options->json)
        die_usage("give either --path or --json, not both");
}

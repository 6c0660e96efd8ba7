/* fdsetctl add: opens files, or takes descriptors that it inherited, and gives
 * them to the helper in one request. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "fdsetctl.h"
#include "json.h"
#include "table.h"
#include "words.h"

/* As many as one request can carry. */
#define MAX_MEMBERS 253

static const char help[] =
    "Usage: fdsetctl add [OPTION]... FILE...\n"
    "  or:  fdsetctl add [OPTION]... --fd N...\n"
    "Open each FILE and put it into a set of its own, or put inherited descriptors\n"
    "of one file into one set: all of it or nothing. Prints the path that the\n"
    "virtual machine opens. Sets stay until 'fdsetctl remove'.\n"
    "\n"
    "  -s, --set N          the set, new or not; default: a new number\n"
    "  -o, --opaque TEXT    a label to find the members again by\n"
    "      --fd N           descriptor N instead of a file; may be repeated\n"
    "\n"
    "How to open, one member for each access mode that is given:\n"
    "  -r, --read-only      (this is the default)\n"
    "  -w, --read-write\n"
    "      --write-only     for logs\n"
    "      --direct         O_DIRECT, for cache=none\n"
    "      --append         O_APPEND\n"
    "      --sync           O_SYNC\n"
    "\n"
    "What the helper is to do with the members:\n"
    "      --sharing exclusive|shared\n"
    "                       one lease at a time, or any number of machines;\n"
    "                       default: a writable member serves one machine\n"
    "      --serves-read-only\n"
    "                       the read-write member answers read-only opens too\n"
    "      --keep-content   opens do not truncate\n"
    "      --keep-locks     locks stay when the last lease ends\n"
    "\n"
    "  -p, --path           print the paths alone, for scripts\n"
    "  -j, --json           print JSON\n"
    "  -n, --no-headings    no line with the columns' names\n" COMMON_OPTIONS_TEXT;

enum mode { READ_ONLY, READ_WRITE, WRITE_ONLY, MODE_COUNT };

struct add_options {
    const char *name; /* "fdsetctl add" */
    const char *socket;
    int set;
    bool modes[MODE_COUNT];
    int status_flags;           /* O_DIRECT, O_APPEND, O_SYNC */
    struct fdset_member member; /* what all members have in common */
    char *const *files;
    size_t file_count;
    int fds[MAX_MEMBERS];
    size_t fd_count;
    bool path, json, headings;
};

/* What is going to be sent: `sets` point into `members`. */
struct plan {
    struct fdset_add sets[MAX_MEMBERS];
    size_t set_count;
    struct fdset_member members[MAX_MEMBERS];
    int flags[MAX_MEMBERS]; /* of each member, for the table */
    size_t member_count;
};

static void fd_read(struct add_options *options, const char *text) {
    uint32_t fd;

    if (!number_parse(text, INT_MAX, &fd))
        usage_error(options->name, "--fd: '%s' is no descriptor's number", text);
    if (options->fd_count == MAX_MEMBERS)
        usage_error(options->name, "at most %d descriptors in one command", MAX_MEMBERS);
    options->fds[options->fd_count++] = fd;
}

static void sharing_read(struct add_options *options, const char *text) {
    if (!strcmp(text, "exclusive"))
        options->member.sharing = FDSET_EXCLUSIVE;
    else if (!strcmp(text, "shared"))
        options->member.sharing = FDSET_SHARED;
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
    OPTION_SERVES_READ_ONLY,
    OPTION_KEEP_CONTENT,
    OPTION_KEEP_LOCKS,
};

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
    case OPTION_SERVES_READ_ONLY:
        options->member.serves_read_only = true;
        break;
    case OPTION_KEEP_CONTENT:
        options->member.keep_content = true;
        break;
    case OPTION_KEEP_LOCKS:
        options->member.keep_locks = true;
        break;
    default:
        common_option(option, argument, &options->socket, help);
    }
}

static void option_read(struct add_options *options, int option, const char *argument) {
    switch (option) {
    case 's':
        if (!set_parse(argument, &options->set))
            usage_error(options->name, "--set: '%s' is no number from 0 to %d", argument, INT_MAX);
        break;
    case 'o':
        if (strlen(argument) > 255)
            usage_error(options->name, "--opaque: at most 255 bytes");
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

static size_t mode_count(const struct add_options *options) {
    size_t count = 0;

    for (size_t i = 0; i < MODE_COUNT; i++)
        count += options->modes[i];
    return count;
}

static void options_check(struct add_options *options) {
    const char *name = options->name;

    if (!options->file_count && !options->fd_count)
        usage_error(name, "nothing to add: give a FILE or --fd N");
    if (options->file_count && options->fd_count)
        usage_error(name, "give either files or --fd, not both");
    if (options->fd_count && (mode_count(options) || options->status_flags))
        usage_error(name, "--fd passes a descriptor as it is: its mode and flags were chosen "
                          "by whoever opened it");
    if (options->file_count > 1 && options->set != FDSET_NEW_SET)
        usage_error(name, "--set takes one FILE: all members of a set are of the same file");
    if (options->path && options->json)
        usage_error(name, "give either --path or --json, not both");
    if (!mode_count(options))
        options->modes[READ_ONLY] = true;
    if (options->member.serves_read_only && !options->fd_count && !options->modes[READ_WRITE])
        usage_error(name, "--serves-read-only is for a member that is opened --read-write");
    if (options->file_count > MAX_MEMBERS / mode_count(options))
        usage_error(name, "at most %d members in one command", MAX_MEMBERS);
}

static void options_read(struct add_options *options, int argc, char **argv) {
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
        {"serves-read-only", no_argument, NULL, OPTION_SERVES_READ_ONLY},
        {"keep-content", no_argument, NULL, OPTION_KEEP_CONTENT},
        {"keep-locks", no_argument, NULL, OPTION_KEEP_LOCKS},
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

/* The descriptor is the plan's from here on, which the program's end closes. */
static void plan_member(struct plan *plan, const struct add_options *options, int fd, int flags) {
    struct fdset_member *member = &plan->members[plan->member_count];

    *member = options->member;
    member->fd = fd;
    /* With both modes in one command it is meant for the one that can. */
    if ((flags & O_ACCMODE) != O_RDWR)
        member->serves_read_only = false;
    plan->flags[plan->member_count++] = flags;
    plan->sets[plan->set_count - 1].member_count++;
}

static void plan_set(struct plan *plan, const struct add_options *options) {
    plan->sets[plan->set_count++] = (struct fdset_add){
        .set = options->set,
        .lifetime = FDSET_KEEP,
        .members = &plan->members[plan->member_count],
    };
}

static void plan_file(struct plan *plan, const struct add_options *options, const char *file) {
    static const int modes[MODE_COUNT] = {O_RDONLY, O_RDWR, O_WRONLY};

    plan_set(plan, options);
    for (size_t i = 0; i < MODE_COUNT; i++) {
        if (!options->modes[i])
            continue;
        int flags = modes[i] | options->status_flags;
        int fd = open(file, flags | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
            refused(options->name, "cannot open '%s' %s%s: %s", file, mode_word(flags),
                    flags & O_DIRECT ? " with O_DIRECT" : "", strerror(errno));
        plan_member(plan, options, fd, flags);
    }
}

static void plan_fds(struct plan *plan, const struct add_options *options) {
    plan_set(plan, options);
    for (size_t i = 0; i < options->fd_count; i++) {
        int flags = fcntl(options->fds[i], F_GETFL);
        if (flags < 0)
            refused(options->name,
                    "descriptor %d is not open: let the shell open it, as in "
                    "'fdsetctl add --fd %d %d<FILE'",
                    options->fds[i], options->fds[i], options->fds[i]);
        plan_member(plan, options, options->fds[i], flags);
    }
}

static void paths_print(const struct plan *plan) {
    for (size_t i = 0; i < plan->set_count; i++)
        printf("/dev/fdset/%d\n", plan->sets[i].set);
}

static void table_of_plan_print(const struct plan *plan, const struct add_options *options) {
    static const struct table_column columns[] = {
        {"PATH"}, {"MEMBER", true}, {"MODE"}, {"FILE"}, {NULL},
    };
    struct libscols_table *table = table_new(columns, options->headings);

    for (size_t i = 0; i < plan->set_count; i++) {
        for (size_t j = 0; j < plan->sets[i].member_count; j++) {
            const struct fdset_member *member = &plan->sets[i].members[j];
            struct libscols_line *line = table_line(table);
            table_cell(line, 0, "/dev/fdset/%d", plan->sets[i].set);
            table_cell(line, 1, "%u", member->id);
            table_cell(line, 2, "%s", mode_word(plan->flags[member - plan->members]));
            if (options->file_count)
                table_cell(line, 3, "%s", options->files[i]);
            else
                table_cell(line, 3, "descriptor %d", member->fd);
        }
    }
    table_print(table);
}

static json_t *plan_json(const struct plan *plan, const struct add_options *options) {
    json_t *sets = json_array();

    for (size_t i = 0; i < plan->set_count; i++) {
        json_t *members = json_array();
        char path[32];
        snprintf(path, sizeof path, "/dev/fdset/%d", plan->sets[i].set);
        for (size_t j = 0; j < plan->sets[i].member_count; j++) {
            const struct fdset_member *member = &plan->sets[i].members[j];
            json_array_append_new(members,
                                  json_pack("{s:I, s:s}", "member", (json_int_t)member->id, "mode",
                                            mode_word(plan->flags[member - plan->members])));
        }
        json_array_append_new(
            sets, json_pack("{s:i, s:s, s:o, s:o}", "set", plan->sets[i].set, "path", path, "file",
                            json_text(options->file_count ? options->files[i] : NULL), "members",
                            members));
    }
    return json_pack("{s:o}", "sets", sets);
}

int command_add(int argc, char **argv, const char *socket) {
    static struct add_options options;
    static struct plan plan;

    options.name = argv[0];
    options.socket = socket;
    options.set = FDSET_NEW_SET;
    options.headings = true;
    options_read(&options, argc, argv);

    /* Before the connection, whose number could be one that --fd names. */
    if (options.fd_count)
        plan_fds(&plan, &options);
    for (size_t i = 0; i < options.file_count; i++)
        plan_file(&plan, &options, options.files[i]);

    struct fdset_manager *manager = manager_connect(argv[0], options.socket);
    if (fdset_add(manager, plan.sets, plan.set_count) < 0)
        refused(argv[0], "%s", fdset_error_text());
    fdset_manager_free(manager);
    if (options.json)
        json_print(plan_json(&plan, &options));
    else if (options.path)
        paths_print(&plan);
    else
        table_of_plan_print(&plan, &options);
    return EXIT_DONE;
}

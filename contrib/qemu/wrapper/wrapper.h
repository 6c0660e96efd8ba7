/* SPDX-License-Identifier: MIT */
/* fdset-qemu: stands where an emulator's name goes, and runs it with its sets of
 * descriptors kept by fdset-helper.
 *
 *     command-line.c   the words: own options, those of interest, paths of sets
 *     config-file.c    -readconfig, which says such words in a file
 *     qemu_opts.c      QEMU's key=value,key=value syntax
 *     members.c        -add-fd, which become members of the helper's sets
 *     monitors.c       which words make a monitor, and what they become
 *     sockets.c        a monitor's two ends: management's and the emulator's
 *     pump.c           a monitor on standard input and output
 *     launch.c         starts a program that is to outlive the exec
 *     loader.c         whether the emulator can have a library preloaded
 *     start_helper.c   the helper and the proxy, started that way
 *     places.c         where the programs are
 *     main.c           all of it in order; then the emulator takes this process
 *
 * It runs for some milliseconds and then is the emulator: memory is not freed,
 * and an error ends it. Its own descriptors have high numbers, since those of
 * the command line are low and must stay what they are. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* ---------------------------------------------------------------- main.c */

/* Says on standard error what is wrong, and ends with status 1. */
void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* The same for our own options, with status 2. */
void die_usage(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Says it and goes on. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Like asprintf(3); never NULL. */
char *text_make(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Like calloc(3); never NULL. */
void *memory_take(size_t count, size_t size);

/* A duplicate of `fd` with a high number, close-on-exec. Consumes `fd`; if that
 * is negative, dies with `what` and errno. */
int fd_raise(int fd, const char *what);

/* Lets the emulator inherit `fd`. */
void fd_inherit(int fd);

/* -------------------------------------------------------- command-line.c */

struct word {
    char *text;         /* NULL: taken out */
    const char *option; /* whose argument it is, without dashes, where that matters; or NULL */
};

#define MAX_LIMITS 16

/* What was said to ourselves, by words that begin with --fdset-. */
struct own_options {
    const char *emulator, *helper, *log, *manage, *observe;
    const char *limits[MAX_LIMITS + 1];
    size_t limit_count;
};

struct command_line {
    struct word *words; /* the first is the program's name */
    size_t count;
    const char *name; /* the machine's, by a file of -readconfig; NULL: none */
    struct own_options own;
};

/* Takes our own options out. May print a text that was asked for, and exit. */
void command_line_read(struct command_line *line, char **argv);

/* Is `word` an argument of `option`? */
bool word_is_of(const struct word *word, const char *option);

/* Adds an option at the end. `option`, without a dash, is to stay. */
void command_line_add(struct command_line *line, const char *option, const char *text);

/* A copy in which every path of a set leaves the emulator's own sets alone; with
 * `only_files`, only after "file=" and "path=". */
char *text_divert(const char *text, bool only_files);

/* Takes out an argument and the option before it. */
void command_line_drop(struct command_line *line, size_t argument);

/* Writes every path of a set so that it leaves the emulator's own sets alone:
 * //dev/fdset/N. Returns whether there are any. */
bool command_line_divert_paths(struct command_line *line);

/* Is the emulator asked for its help, and nothing else? */
bool command_line_asks_for_help(const struct command_line *line);

/* Prints what there is to be said after that, and exits. */
void command_line_help_more(void) __attribute__((noreturn));

/* What the virtual machine is called (-name); NULL: nothing is said. */
const char *command_line_machine_name(const struct command_line *line);

/* Is this libvirt (or one like it) asking what the emulator can do? */
bool command_line_is_probe(const struct command_line *line);

/* For execv(3), `emulator` being the first. */
char **command_line_argv(const struct command_line *line, const char *emulator);

/* --------------------------------------------------------- config-file.c */

/* What -readconfig files say of monitors, chardevs and descriptors becomes words of the
 * command line; paths of sets in them are diverted. Returns whether there are any. */
bool config_files_read(struct command_line *line);

/* --------------------------------------------------------------- qemu_opts.c */

#define MAX_PAIRS 64

struct pair {
    char *key, *value;
};

struct pairs {
    struct pair items[MAX_PAIRS];
    size_t count;
};

/* Reads "key=value,key=value"; a comma in a value is doubled, a value without a
 * key is `first`'s if it is the first (NULL: it is none's), else a flag. Dies
 * where there are too many. */
void pairs_parse(struct pairs *pairs, const char *text, const char *first);

/* The last value of `key`, or NULL. */
const char *pairs_get(const struct pairs *pairs, const char *key);

bool pairs_is_on(const struct pairs *pairs, const char *key);
void pairs_drop(struct pairs *pairs, const char *key);
void pairs_add(struct pairs *pairs, const char *key, const char *value);

/* Back to text; the key `first` is left out in front. */
char *pairs_text(const struct pairs *pairs, const char *first);

/* ------------------------------------------------------------- members.c */

struct fdset_manager;

/* A -add-fd. */
struct member_option {
    int fd, set;
    const char *opaque; /* NULL for none */
};

struct members {
    struct member_option *items;
    size_t count;
};

/* Takes the -add-fd options out of the command line. Dies where QEMU would. */
void members_read(struct members *members, struct command_line *line);

/* Gives them to the helper, and closes our own: the emulator has them not. */
void members_hand_over(struct members *members, struct fdset_manager *manager);

/* ------------------------------------------------------------ monitors.c */

#define MAX_MONITORS 32

/* Management's end, as fdset-qmp takes it: "fd:" and a descriptor, or a text. */
struct endpoint {
    int fd;            /* -1: none */
    const char *text;  /* where fd is -1 */
    bool is_connected; /* for this one conversation */
};

/* A monitor of which the proxy makes two. */
struct monitor {
    size_t word; /* the argument that says where it is */
    bool is_human, is_stdio;
    struct pairs pairs; /* its chardev's */
    const char *prefix; /* what stands before them */
    const char *first;  /* the key that may be left out */

    struct endpoint management;
    int emulators; /* the socket that the emulator gets, */
    int proxys;    /* and what the proxy reaches it by */
};

struct monitors {
    struct monitor items[MAX_MONITORS];
    size_t count;
    bool any_control; /* there is one that speaks QMP */
};

void monitors_find(struct monitors *monitors, const struct command_line *line);

/* Makes their sockets and writes the new ones into the command line. */
void monitors_divert(struct monitors *monitors, struct command_line *line);

/* ------------------------------------------------------------- sockets.c */

/* Can this socket be proxied? If not, `why` says why. */
bool socket_is_known(const struct pairs *pairs, const char **why);

/* Management's end, which the emulator would have made. Dies where it would. */
struct endpoint socket_make(const struct pairs *pairs, const char *option);

/* A listening socket for the emulator, that has no name any more: whoever has
 * `*handle`, an O_PATH descriptor of its file, can connect to it through
 * /proc/self/fd. */
int socket_make_private(int *handle);

/* A connected one, and its other end. */
int socket_make_connected(int *other);

/* ---------------------------------------------------------------- pump.c */

/* A socket in the place of standard input and output: a process copies between
 * them until the socket's end. */
int pump_start(void);

/* -------------------------------------------------------------- launch.c */

#define MAX_LAUNCH 256

struct launch {
    char *words[MAX_LAUNCH + 1];
    size_t word_count;
    int fds[MAX_LAUNCH];
    size_t fd_count;
};

void launch_word(struct launch *launch, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Words with blanks between them; NULL: none. */
void launch_words(struct launch *launch, const char *text);

/* Gives it `fd`, borrowed and no standard stream; returns the number it will have there. */
int launch_fd(struct launch *launch, int fd);

/* Starts the program: a child of nobody's, in a session of its own, with its
 * standard streams on /dev/null but for standard error, which is `log` or, if
 * that is -1, a pipe. Returns the pipe's other end, or -1. */
int launch_run(struct launch *launch, int log);

/* `errors` being what launch_run() returned, says what a program said that did
 * not start, and, if not NULL, what may help against it, and dies. */
void launch_die(const struct launch *launch, int errors, const char *cure)
    __attribute__((noreturn));

/* -------------------------------------------------------------- loader.c */

/* Why the dynamic linker would not preload a library into this program: "is ..."; NULL
 * where nothing is known that hinders it. */
const char *library_hindrance(const char *path);

/* ---------------------------------------------------------- start_helper.c */

/* Starts the helper. Returns the emulator's connection to it; `*manage` is the
 * proxy's and `*manager` our own. */
int helper_start(const struct own_options *own, int log, int *manage,
                 struct fdset_manager **manager);

/* Starts the proxy and waits until it serves. It ends when the other end of the
 * pipe `lifeline` is closed. All borrowed. */
void proxy_start(const struct monitors *monitors, int manage, int lifeline, int log);

/* -------------------------------------------------------------- places.c */

/* Dies where there is none. `called` is argv[0]. */
const char *place_of_emulator(const struct own_options *own, const char *called);
const char *place_of_helper(const struct own_options *own);
const char *place_of_proxy(void);
const char *place_of_preload(void);

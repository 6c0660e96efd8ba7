/* SPDX-License-Identifier: MIT */
/* Starting and ending a helper of one's own. */
#include "vmm/vmm.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "environment.h"
#include "wire/failure.h"
#include "wire/own.h"

/* In the helper, what it inherits stands from here on without a gap. */
#define FIRST_DESCRIPTOR 3

/* How long a helper may take to end once its VMM has hung up. It has nothing
 * to do then, but a file system that stopped answering can keep it for ever. */
#define END_MILLISECONDS 10000

/* What the helper starts with: its command line, and duplicates of the
 * descriptors it inherits, which stand above all their places in the helper
 * so that putting one there overwrites no other. */
struct launch {
    char **words;
    size_t word_count;
    int *descriptors;
    size_t descriptor_count;
    size_t descriptor_room;
    int error; /* the first that came of adding to it: nothing is added any more */
};

static int launch_init(struct launch *launch, size_t words, size_t descriptors) {
    *launch = (struct launch){.descriptor_room = descriptors};
    launch->words = calloc(words + 1, sizeof(*launch->words));
    launch->descriptors = calloc(descriptors, sizeof(*launch->descriptors));
    return launch->words && launch->descriptors ? 0 : fail(ENOMEM, "out of memory");
}

static void launch_free(struct launch *launch) {
    for (size_t i = 0; i < launch->descriptor_count; i++)
        close(launch->descriptors[i]);
    for (size_t i = 0; i < launch->word_count; i++)
        free(launch->words[i]);
    free(launch->descriptors);
    free(launch->words);
}

/* Adds one word to the command line. */
__attribute__((format(printf, 2, 3))) static void launch_word(struct launch *launch,
                                                              const char *format, ...) {
    va_list arguments;

    if (launch->error)
        return;
    va_start(arguments, format);
    if (vasprintf(&launch->words[launch->word_count], format, arguments) < 0)
        launch->error = fail(ENOMEM, "out of memory");
    else
        launch->word_count++;
    va_end(arguments);
}

/* Gives a duplicate of `fd` to the helper. Returns its number there. */
static int launch_descriptor(struct launch *launch, int fd) {
    if (launch->error)
        return -1;
    assert(launch->descriptor_count < launch->descriptor_room);
    int copy = own_duplicate(fd, FIRST_DESCRIPTOR + (int)launch->descriptor_room);
    if (copy < 0)
        return launch->error = fail(errno, "cannot pass descriptor %d on to the helper: %m", fd);
    launch->descriptors[launch->descriptor_count] = copy;
    return FIRST_DESCRIPTOR + (int)launch->descriptor_count++;
}

/* Adds "--option NUMBER", where NUMBER is what `fd` will be in the helper. */
static void launch_option_fd(struct launch *launch, const char *option, int fd) {
    launch_word(launch, "%s", option);
    launch_word(launch, "%d", launch_descriptor(launch, fd));
}

/* QEMU's syntax: a comma inside a value is doubled. */
static void commas_double(char *out, const char *label) {
    for (; *label; label++) {
        *out++ = *label;
        if (*label == ',')
            *out++ = ',';
    }
    *out = '\0';
}

static int launch_initial(struct launch *launch, const void *theirs, size_t size) {
    struct fdset_initial ours, *initial = &ours;
    char label[2 * FDSET_MAX_OPAQUE_BYTES + 1] = "";
    int error = sized_take(initial, sizeof(*initial), theirs, size);

    if (error)
        return error;
    if (initial->set < 0)
        return fail(EINVAL, "a set's number is 0 to 2147483647, not %d", initial->set);
    if (initial->opaque && strlen(initial->opaque) > FDSET_MAX_OPAQUE_BYTES)
        return fail(EINVAL, "the label of set %d is longer than %d bytes", initial->set,
                    FDSET_MAX_OPAQUE_BYTES);
    if (initial->opaque)
        commas_double(label, initial->opaque);

    launch_word(launch, "--add-fd");
    launch_word(launch, "fd=%d,set=%d%s%s", launch_descriptor(launch, initial->fd), initial->set,
                initial->opaque ? ",opaque=" : "", label);
    return launch->error;
}

static int launch_prepare(struct launch *launch, const struct fdset_spawn_options *options,
                          int vmm_socket) {
    /* What the user of this process adds to its helper's command line. */
    const char *more = secure_getenv("FDSET_HELPER_OPTIONS"), *word;
    size_t arguments = 0, size = 0, length;

    if (!more)
        more = "";
    if (options->initial_count > FDSET_MAX_DESCRIPTORS)
        return fail(EINVAL, "a helper starts with at most %d descriptors", FDSET_MAX_DESCRIPTORS);
    while (options->arguments && options->arguments[arguments])
        arguments++;
    launch->error =
        launch_init(launch, 7 + 2 * options->initial_count + arguments + (strlen(more) + 1) / 2,
                    2 + options->initial_count);
    launch_word(launch, "fdset-helper");
    launch_option_fd(launch, "--vmm-fd", vmm_socket);
    if (options->manage_path) {
        launch_word(launch, "--manage");
        launch_word(launch, "%s", options->manage_path);
    }
    if (options->manage_fd > 0)
        launch_option_fd(launch, "--manage-fd", options->manage_fd);
    if (options->initial_count)
        size = sized_stride(options->initial, sizeof(*options->initial));
    for (size_t i = 0; !launch->error && i < options->initial_count; i++)
        launch->error = launch_initial(launch, (const char *)options->initial + i * size, size);
    for (size_t i = 0; i < arguments; i++)
        launch_word(launch, "%s", options->arguments[i]);
    while ((word = environment_word(&more, &length)))
        launch_word(launch, "%.*s", (int)length, word);
    return launch->error;
}

/* Borrows the strings from the process. NULL where memory is short. */
static char **environment_for_helper(void) {
    size_t count = 0;
    while (environ && environ[count])
        count++;
    char **environment = calloc(count + 1, sizeof(*environment));
    if (!environment)
        return NULL;
    char **end = environment;
    for (size_t i = 0; i < count; i++)
        if (!environment_is_private(environ[i]))
            *end++ = environ[i];
    return environment;
}

static int actions_fill(posix_spawn_file_actions_t *actions, const struct launch *launch) {
    int error = 0;
    for (size_t i = 0; !error && i < launch->descriptor_count; i++)
        error = posix_spawn_file_actions_adddup2(actions, launch->descriptors[i],
                                                 FIRST_DESCRIPTOR + (int)i);
    if (!error)
        error = posix_spawn_file_actions_addclosefrom_np(
            actions, FIRST_DESCRIPTOR + (int)launch->descriptor_count);
    return error;
}

/* A process group of its own, since the terminal's ^C is meant for the VMM, but not
 * a session: where sessions have shares of the processor each (autogroup), changing
 * between two of them adds 0.3 us to each open. The helper lets go of the terminal
 * itself. And
 * signals as a new process has them, whatever the VMM blocks or ignores. */
static int attributes_fill(posix_spawnattr_t *attributes) {
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int error = posix_spawnattr_setsigmask(attributes, &none);
    if (!error)
        error = posix_spawnattr_setsigdefault(attributes, &all);
    if (!error)
        error = posix_spawnattr_setpgroup(attributes, 0);
    if (!error)
        error = posix_spawnattr_setflags(
            attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    return error;
}

/* posix_spawn(3) is a vfork(2) in glibc: it does not copy the VMM's page tables. */
static int launch_run(const struct launch *launch, const char *program, pid_t *pid) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    char **environment = environment_for_helper();
    if (!environment)
        return fail(ENOMEM, "out of memory");

    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    int error = actions_fill(&actions, launch);
    if (!error)
        error = attributes_fill(&attributes);
    if (!error)
        /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): words are there without an error */
        error = posix_spawn(pid, program, &actions, &attributes, launch->words, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    free(environment);
    return error ? fail(error, "cannot start %s: %m", program) : 0;
}

static const char *program_find(const struct fdset_spawn_options *options) {
    const char *from_environment = secure_getenv("FDSET_HELPER");
    if (options->helper)
        return options->helper;
    return from_environment ? from_environment : FDSET_HELPER_PATH;
}

static bool is_told_to_linger(const struct launch *launch) {
    for (size_t i = 0; i < launch->word_count; i++)
        if (strcmp(launch->words[i], "--linger") == 0)
            return true;
    return false;
}

int helper_start(struct spawned *helper, const struct fdset_spawn_options *options, int *socket) {
    struct launch launch = {0};
    int ends[2];
    *helper = (struct spawned){-1, -1, false};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return fail(errno, "cannot make a pair of sockets: %m");
    ends[0] = own_descriptor(ends[0]);
    ends[1] = own_descriptor(ends[1]);
    int error = launch_prepare(&launch, options, ends[1]);
    if (!error)
        helper->lingers = is_told_to_linger(&launch);
    if (!error)
        error = launch_run(&launch, program_find(options), &helper->pid);
    launch_free(&launch);
    close(ends[1]);
    if (error) {
        close(ends[0]);
        return error;
    }
    /* Fails where the VMM has reaped the child already: nothing to wait for. */
    helper->pidfd = own_descriptor(pidfd_open(helper->pid, 0));
    *socket = ends[0];
    return 0;
}

static void end_describe(const siginfo_t *info, char *status, size_t size) {
    if (info->si_code == CLD_EXITED)
        snprintf(status, size, "ended with status %d", info->si_status);
    else
        snprintf(status, size, "was ended by signal %d (%s)", info->si_status,
                 sigdescr_np(info->si_status));
}

void helper_wait(struct spawned *helper, char *status, size_t size) {
    char unused[1];
    siginfo_t info = {0};
    if (!status) {
        status = unused;
        size = sizeof(unused);
    }
    snprintf(status, size, "ended");
    if (helper->pidfd < 0)
        return;

    struct pollfd ended = {.fd = helper->pidfd, .events = POLLIN};
    int result;
    do {
        result = poll(&ended, 1, END_MILLISECONDS);
    } while (result < 0 && errno == EINTR);
    if (result <= 0)
        snprintf(status, size, "hung up and does not end");
    else if (waitid(P_PIDFD, (id_t)helper->pidfd, &info, WEXITED) == 0)
        end_describe(&info, status, size);
    helper_forget(helper);
}

void helper_forget(struct spawned *helper) {
    if (helper->pidfd >= 0)
        close(helper->pidfd);
    helper->pidfd = -1;
}

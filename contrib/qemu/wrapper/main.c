/* SPDX-License-Identifier: MIT */
#include "wrapper.h"

#include <errno.h>
#include <fcntl.h>
#include <fdset/manager.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *format, va_list arguments) {
    char *text;

    if (vasprintf(&text, format, arguments) < 0)
        return;
    dprintf(STDERR_FILENO, "fdset-qemu: %s\n", text);
    free(text);
}

void die(const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
    exit(1);
}

void die_usage(const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
    dprintf(STDERR_FILENO, "Try 'fdset-qemu --fdset-help'.\n");
    exit(2);
}

void complain(const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

char *text_make(const char *format, ...) {
    va_list arguments;
    char *text;

    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        die("out of memory");
    va_end(arguments);
    return text;
}

void *memory_take(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (!memory)
        die("out of memory");
    return memory;
}

int fd_raise(int fd, const char *what) {
    struct rlimit limit = {.rlim_cur = 1024};

    if (fd < 0)
        die("%s: %s", what, strerror(errno));
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur > 65536)
        limit.rlim_cur = 65536;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, (int)(limit.rlim_cur / 4 * 3));
    if (high < 0)
        die("%s: %s", what, strerror(errno));
    close(fd);
    return high;
}

void fd_inherit(int fd) {
    if (fcntl(fd, F_SETFD, 0) < 0)
        die("descriptor %d: %s", fd, strerror(errno));
}

/* -------------------------------------------------------------- the order */

static int log_open(const char *path) {
    if (!path)
        return -1;
    return fd_raise(open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), path);
}

static void emulator_become(const char *emulator, char **argv, int log) {
    if (log >= 0) {
        dprintf(log, "fdset-qemu: process %d becomes", getpid());
        for (char **word = argv; *word; word++)
            dprintf(log, " %s", *word);
        dprintf(log, "\n");
    }
    execv(emulator, argv);
    die("%s: %s", emulator, strerror(errno));
}

/* Its help is the emulator's, and ours below it. */
static void emulator_help(const char *emulator, char **argv) {
    int status = 0;
    pid_t pid = fork();

    if (pid < 0)
        die("cannot fork: %s", strerror(errno));
    if (pid == 0)
        emulator_become(emulator, argv, -1);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (status != 0)
        exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
    command_line_help_more();
}

/* Before what is loaded already. */
static void preload_set(void) {
    const char *preload = place_of_preload(), *others = getenv("LD_PRELOAD");

    if (others && *others)
        preload = text_make("%s:%s", preload, others);
    if (setenv("LD_PRELOAD", preload, 1) < 0)
        die("out of memory");
}

/* The proxy ends when the emulator closes its end of a pipe by ending: not by
 * process id, which changes with -daemonize. */
static void proxy_begin(struct monitors *monitors, struct command_line *line, int manage, int log) {
    int lifeline[2];

    monitors_divert(monitors, line);
    if (pipe2(lifeline, O_CLOEXEC) < 0)
        die("cannot make a pipe: %s", strerror(errno));
    lifeline[0] = fd_raise(lifeline[0], "a pipe");
    lifeline[1] = fd_raise(lifeline[1], "a pipe");
    proxy_start(monitors, manage, lifeline[0], log);
    close(lifeline[0]);
    fd_inherit(lifeline[1]);
}

/* Tables and events call the emulator so. What somebody has set stays. */
static void name_set(const char *name) {
    const char *given = getenv("FDSET_NAME");

    if (name && (!given || !*given) && setenv("FDSET_NAME", name, 1) < 0)
        die("out of memory");
}

static void emulator_check(const char *emulator) {
    const char *why = library_hindrance(emulator);

    if (why)
        complain(
            "%s %s, so the dynamic linker ignores LD_PRELOAD for it, and it will find no set of "
            "the helper's: name another with --fdset-emulator or FDSET_EMULATOR, such as a copy "
            "that is not so",
            emulator, why);
}

static void companions_begin(struct command_line *line, struct members *members,
                             struct monitors *monitors, int log) {
    struct fdset_manager *manager;
    int manage;

    int vmm = helper_start(&line->own, log, &manage, &manager);
    members_hand_over(members, manager);
    fdset_manager_free(manager);
    if (monitors->count > 0)
        proxy_begin(monitors, line, manage, log);
    close(manage);
    fd_inherit(vmm);
    preload_set();
    name_set(command_line_machine_name(line));
    if (setenv("FDSET_VMM_FD", text_make("%d", vmm), 1) < 0)
        die("out of memory");
}

int main(int argc, char **argv) {
    static struct command_line line;
    static struct monitors monitors;
    struct members members;

    command_line_read(&line, argv);
    const char *emulator = place_of_emulator(&line.own, argv[0] ? argv[0] : "");
    if (command_line_asks_for_help(&line))
        emulator_help(emulator, command_line_argv(&line, emulator));
    int log = log_open(line.own.log);
    bool has_sets = config_files_read(&line);
    members_read(&members, &line);
    has_sets |= members.count > 0 || line.own.manage || line.own.observe;
    if (has_sets || !command_line_is_probe(&line))
        monitors_find(&monitors, &line);
    has_sets |= command_line_divert_paths(&line);
    if (has_sets || monitors.any_control) {
        emulator_check(emulator);
        companions_begin(&line, &members, &monitors, log);
    }
    emulator_become(emulator, command_line_argv(&line, emulator), log);
}

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
 *     launch.c         starts a process that is to outlive the exec
 *     title.c          what ps(1) shows of one that is a copy of this
 *     loader.c         whether the emulator can have a library preloaded
 *     start.c          the helper, started that way, and ../monitor, which stands
 *                      between a monitor's two ends
 *     places.c         where the programs are
 *     main.c           all of it in order; then the emulator takes this process
 *
 * It runs for some milliseconds and then is the emulator: memory is not freed,
 * and an error ends it. Its own descriptors have high numbers, since those of
 * the command line are low and must stay what they are. */
#include <errno.h>
#include <fcntl.h>
#include <fdset/manager.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command-line.h"
#include "common/descriptors.h"
#include "common/memory.h"
#include "common/say.h"
#include "launch.h"
#include "members.h"
#include "monitors.h"
#include "places.h"
#include "start.h"

static int log_open(const char *path) {
    if (!path)
        return -1;
    return fd_move_high(open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), path);
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

static void environment_set(const char *name, const char *value) {
    if (setenv(name, value, 1) < 0)
        die("out of memory");
}

/* Before what is loaded already. */
static void preload_set(void) {
    const char *preload = place_of_preload(), *others = getenv("LD_PRELOAD");

    if (others && *others)
        preload = xasprintf("%s:%s", preload, others);
    environment_set("LD_PRELOAD", preload);
}

/* The relay ends when the emulator closes its end of a pipe by ending: not by
 * process id, which changes with -daemonize. */
static void relay_begin(struct monitors *monitors, struct command_line *line, int manage, int log) {
    static struct relay_setup setup;
    int lifeline[2];

    monitors_divert(monitors, line, &setup);
    pipe_make_high(lifeline);
    relay_start(&setup, manage, lifeline[0], log);
    close(lifeline[0]);
    fd_inherit(lifeline[1]);
}

/* Tables and events call the emulator so. What somebody has set stays. */
static void name_set(const char *name) {
    const char *given = getenv("FDSET_NAME");

    if (name && (!given || !*given))
        environment_set("FDSET_NAME", name);
}

static void emulator_check(const char *emulator) {
    const char *why = library_hindrance(emulator);

    if (why)
        complain("%s %s, so the dynamic linker ignores LD_PRELOAD for it, and it cannot open the "
                 "helper's sets: name another emulator with --fdset-emulator or FDSET_EMULATOR, "
                 "such as a copy without this",
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
        relay_begin(monitors, line, manage, log);
    close(manage);
    fd_inherit(vmm);
    preload_set();
    name_set(command_line_machine_name(line));
    environment_set("FDSET_VMM_FD", xasprintf("%d", vmm));
}

int main(int argc, char **argv) {
    static struct command_line line;
    static struct monitors monitors;
    struct members members;

    say_as("fdset-qemu", "--fdset-help");
    process_title_begin(argv);
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

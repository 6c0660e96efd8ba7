/* SPDX-License-Identifier: MIT */
/* fdset-qemu: stands where an emulator's name goes, and runs it with its sets of
 * descriptors kept by fdset-helper.
 *
 *     command-line.c   the words: our own options, and the few that matter, also in files
 *     handover.c       -add-fd: members for the helper, portals for QEMU
 *     launch.c         starts a process that is to outlive the exec, and names it
 *     start.c          ../monitor, started that way, which stands between QEMU's monitors
 *                      and their clients, and from there the helper
 *     places.c         where the programs are, and whether QEMU can have the library
 *     main.c           all of it in order; then the emulator takes this process
 *
 * It runs for some milliseconds and then is the emulator: memory is not freed,
 * and an error ends it. Its own descriptors have high numbers, since those of
 * the command line are low and must stay what they are. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command-line.h"
#include "common/descriptors.h"
#include "common/memory.h"
#include "common/say.h"
#include "handover.h"
#include "launch.h"
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

/* Tables and events call the emulator so. What somebody has set stays. */
static void name_set(const char *name) {
    const char *given = getenv("FDSET_NAME");

    if (name && (!given || !*given))
        environment_set("FDSET_NAME", name);
}

static void emulator_check(const char *emulator) {
    const char *why = library_hindrance(emulator);

    if (why)
        die("%s %s, so the dynamic linker ignores LD_PRELOAD for it, and it cannot open the "
            "helper's sets: name another emulator with --fdset-emulator or FDSET_EMULATOR, such "
            "as a copy without this",
            emulator, why);
}

/* An open of a set may wait for a member. */
static bool opens_wait(void) {
    const char *text = getenv("FDSET_WAIT_MS");
    return text && strtoull(text, NULL, 10) > 0;
}

static void number_set(const char *name, int fd) {
    fd_inherit(fd);
    environment_set(name, xasprintf("%d", fd));
}

/* Helper and relay start while the emulator is loaded: the preload library waits for them. */
static void companions_begin(struct command_line *line, int log) {
    struct add_fds adds = {NULL};
    int joint[2];

    socket_pair_make_high(joint, SOCK_SEQPACKET);
    add_fds_read(&adds, line);
    struct start start = companions_start(&line->own, &adds, joint[1], opens_wait(), log);
    close(joint[1]);
    add_fds_leave(&adds);
    if (opens_wait())
        add_fds_hidden(&adds, line);
    preload_set();
    name_set(line->name);
    number_set("FDSET_VMM_FD", start.vmm);
    number_set("FDSET_JOINT_FD", joint[0]);
    number_set("FDSET_START_FD", start.ready);
    if (adds.told)
        environment_set("FDSET_PORTALS", adds.told);
    if (line->own.strict)
        environment_set("FDSET_STRICT", "1");
}

/* Finds members and name. */
static void line_look(struct command_line *line) {
    for (size_t i = 1; i < line->count; i++) {
        const struct word *word = &line->words[i];
        if (word_is_of(word, "add-fd"))
            command_line_note_member(line, word->text);
        else if (word_is_of(word, "readconfig"))
            config_file_look(line, i);
    }
    /* The last that is given counts, as to QEMU, which puts several options together; but those
     * of files before. */
    for (size_t i = 1; i < line->count; i++) {
        const char *guest = word_is_of(&line->words[i], "name")
                                ? option_value(line->words[i].text, "guest", "guest")
                                : NULL;
        line->name = guest ? guest : line->name;
    }
}

int main(int argc, char **argv) {
    static struct command_line line;

    standard_streams_fill();
    say_as("fdset-qemu", "--fdset-help");
    process_title_begin(argv);
    command_line_read(&line, argv);
    const char *emulator = place_of_emulator(&line.own, argv[0] ? argv[0] : "");
    if (command_line_asks_for_help(&line))
        emulator_help(emulator, command_line_argv(&line, emulator));
    int log = log_open(line.own.log);
    line_look(&line);
    if (!command_line_is_probe(&line)) {
        emulator_check(emulator);
        companions_begin(&line, log);
    }
    emulator_become(emulator, command_line_argv(&line, emulator), log);
}

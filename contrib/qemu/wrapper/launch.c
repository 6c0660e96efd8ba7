/* SPDX-License-Identifier: MIT */
/* Starts what accompanies the emulator: nobody's child, with no more than it needs. */
#include "launch.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/descriptors.h"
#include "common/memory.h"
#include "common/say.h"
#include "environment.h"

/* In the program, what it inherits stands from here on without a gap. */
#define FIRST_DESCRIPTOR 3

void launch_word(struct companion *companion, const char *format, ...) {
    va_list arguments;

    if (companion->word_count == MAX_LAUNCH)
        die("too many words for %s", companion->words[0]);
    va_start(arguments, format);
    companion->words[companion->word_count++] = xvasprintf(format, arguments);
    va_end(arguments);
}

void launch_words(struct companion *companion, const char *text) {
    const char *word;
    size_t length;

    while ((word = environment_word(&text, &length)))
        launch_word(companion, "%.*s", (int)length, word);
}

int launch_fd(struct companion *companion, int fd) {
    if (companion->fd_count == MAX_LAUNCH_FDS)
        die("too many descriptors for %s", companion->words[0]);
    assert(fd > STDERR_FILENO);
    companion->fds[companion->fd_count++] = fd;
    return FIRST_DESCRIPTOR + (int)companion->fd_count - 1;
}

/* ------------------------------------------------------- in the new process */

static void say(const struct companion *companion, const char *what) {
    dprintf(STDERR_FILENO, "%s: %s: %s\n", companion->words[0], what, strerror(errno));
    _exit(127);
}

/* Puts each where it was promised, and closes all others. */
static void descriptors_place(const struct companion *companion, int errors) {
    int end = FIRST_DESCRIPTOR + (int)companion->fd_count, copies[MAX_LAUNCH_FDS];

    if (dup2(errors, STDERR_FILENO) < 0)
        _exit(127);
    if (fd_nullify(STDIN_FILENO) < 0 || fd_nullify(STDOUT_FILENO) < 0)
        say(companion, "/dev/null");
    for (size_t i = 0; i < companion->fd_count; i++) {
        copies[i] = fcntl(companion->fds[i], F_DUPFD, end);
        if (copies[i] < 0)
            say(companion, "a descriptor");
    }
    for (size_t i = 0; i < companion->fd_count; i++)
        if (dup2(copies[i], FIRST_DESCRIPTOR + (int)i) < 0)
            say(companion, "a descriptor");
    if (close_range((unsigned)end, ~0U, 0) < 0)
        say(companion, "close_range");
}

/* As a new process has them, whatever our caller blocks or ignores. */
static void signals_reset(void) {
    sigset_t none;

    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* What was meant for the emulator alone. */
static void environment_clean(void) {
    char **kept = environ;

    for (char **variable = environ; *variable; variable++)
        if (!environment_is_private(*variable))
            *kept++ = *variable;
    *kept = NULL;
}

static void companion_become(struct companion *companion, int errors) {
    descriptors_place(companion, errors);
    signals_reset();
    environment_clean();
    if (companion->run) {
        process_title(companion->words[0]);
        exit(companion->run(companion->argument));
    }
    companion->words[companion->word_count] = NULL;
    execv(companion->words[0], companion->words);
    say(companion, "cannot run it");
}

/* ---------------------------------------------------------------- starting */

/* Forks a process that is a child of nobody's. True in it. */
static bool orphan_fork(void) {
    pid_t pid = fork();

    if (pid < 0)
        die("cannot fork: %s", strerror(errno));
    if (pid > 0) {
        /* With SIGCHLD ignored there is nobody to wait for. */
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        return false;
    }
    setsid();
    pid = fork();
    if (pid != 0)
        _exit(pid < 0);
    return true;
}

int launch_run(struct companion *companion, int log) {
    int ends[2] = {-1, -1};

    if (log < 0)
        pipe_make_high(ends);
    if (orphan_fork())
        companion_become(companion, log < 0 ? ends[1] : log);
    if (log < 0)
        close(ends[1]);
    return ends[0];
}

void launch_die(const struct companion *companion, int errors, const char *cure) {
    char text[2048];
    size_t length = 0;
    ssize_t got = 0;

    while (errors >= 0 && length < sizeof(text) - 1 &&
           ((got = read(errors, text + length, sizeof(text) - 1 - length)) > 0 ||
            (got < 0 && errno == EINTR)))
        length += got > 0 ? (size_t)got : 0;
    while (length > 0 && text[length - 1] == '\n')
        length--;
    text[length] = '\0';
    if (errors < 0)
        snprintf(text, sizeof(text), "See the file of --fdset-log.");
    if (cure)
        die("%s does not start:\n%s\n%s", companion->words[0], text, cure);
    die("%s does not start:\n%s", companion->words[0], text);
}

/* SPDX-License-Identifier: MIT */
/* Starts what accompanies the emulator: nobody's child, with no more than it needs. */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/descriptors.h"
#include "common/say.h"
#include "environment.h"

/* True in a process that is a child of nobody's. */
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

/* Moves those that are kept to where the standard streams end: first out of each other's way. */
static void descriptors_place(int errors, int *const *kept, size_t count) {
    int first = STDERR_FILENO + 1, end = first + (int)count;
    bool placed = dup2(errors, STDERR_FILENO) >= 0 && fd_nullify(STDIN_FILENO) == 0 &&
                  fd_nullify(STDOUT_FILENO) == 0;

    for (size_t i = 0; i < count && placed; i++)
        placed = (*kept[i] = fcntl(*kept[i], F_DUPFD, end)) >= 0;
    for (size_t i = 0; i < count && placed; i++)
        placed = (*kept[i] = dup2(*kept[i], first + (int)i)) >= 0;
    if (!placed || close_range((unsigned)end, ~0U, 0) < 0)
        die("descriptors: %s", strerror(errno));
}

static void signals_reset(void) {
    sigset_t none;

    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void environment_clean(void) {
    char **kept = environ;

    for (char **variable = environ; *variable; variable++)
        if (!environment_is_private(*variable))
            *kept++ = *variable;
    *kept = NULL;
}

bool launch(int errors, int *const *kept, size_t count) {
    if (!orphan_fork())
        return false;
    descriptors_place(errors, kept, count);
    signals_reset();
    environment_clean();
    return true;
}

/* ------------------------------------------------------------------ its title */

static char *words;
static size_t size;

void process_title_begin(char **argv) {
    words = argv[0];
    /* The kernel puts one behind the other. */
    for (char **word = argv; *word && *word == words + size; word++)
        size += strlen(*word) + 1;
}

void process_title(const char *what) {
    char path[PATH_MAX], title[PATH_MAX + 64], name[16]; /* as much as the kernel keeps */
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path));

    snprintf(title, sizeof(title), "%.*s: %s", length > 0 ? (int)length : 0, path, what);
    if (size > 0) {
        memset(words, 0, size);
        strncpy(words, title, size - 1);
    }
    snprintf(name, sizeof(name), "fdset-%s", what);
    prctl(PR_SET_NAME, name);
}

/* SPDX-License-Identifier: MIT */
/* A helper of this program's own, which ends with it, or one that is being started for it. */
#include "spawn.h"

#include "add_fd.h"
#include "libc.h"
#include "number.h"
#include "say.h"

#include <errno.h>
#include <fdset/limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads $FDSET_ADD_FD: one or more of them with blanks between, so that a label
 * has none, and no comma in it need be doubled. `copy` is its text and is taken
 * apart. Returns how many, or -1. */
static int initial_read(char *copy, struct fdset_initial initial[FDSET_MAX_DESCRIPTORS]) {
    char *rest = NULL, shown[256], why[ADD_FD_WHY_BYTES];
    struct add_fd add;
    int count = 0;

    for (char *word = strtok_r(copy, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest)) {
        if (count == FDSET_MAX_DESCRIPTORS) {
            shim_complain("FDSET_ADD_FD: at most %d descriptors", FDSET_MAX_DESCRIPTORS);
            return -1;
        }
        snprintf(shown, sizeof(shown), "%s", word);
        if (!add_fd_parse(&add, word, ADD_FD_LABEL_END, why)) {
            shim_complain("FDSET_ADD_FD: '%s' is not fd=N,set=M[,opaque=TEXT]: %s", shown, why);
            return -1;
        }
        initial[count++] =
            (struct fdset_initial){.fd = add.fd, .set = add.set, .opaque = add.opaque};
    }
    return count;
}

bool shim_may_spawn(void) {
    return getenv("FDSET_ADD_FD") || getenv("FDSET_SPAWN_MANAGE_SOCKET") ||
           getenv("FDSET_HELPER_OPTIONS");
}

/* What has failed once is not tried again, so that it is not told for each path that the
 * program asks about; but for want of what may be there later. */
static bool is_final(int error) {
    return error < 0 && error != -EAGAIN && error != -ENOMEM && error != -EMFILE &&
           error != -ENFILE;
}

static int spawn(struct fdset_vmm **vmm) {
    struct fdset_initial initial[FDSET_MAX_DESCRIPTORS] = {0};
    const char *text = getenv("FDSET_ADD_FD");
    char *copy = strdup(text ? text : "");

    if (!copy)
        return -ENOMEM;
    int count = initial_read(copy, initial);
    struct fdset_spawn_options options = {
        .manage_path = getenv("FDSET_SPAWN_MANAGE_SOCKET"),
        .initial = initial,
        .initial_count = count,
    };
    int error = count < 0 ? -ENOTCONN : fdset_vmm_spawn(vmm, &options);
    free(copy);
    /* They are the helper's now; this program is to have nothing but leases. */
    for (int i = 0; i < count && error >= 0; i++)
        REAL(close)(initial[i].fd);
    return error;
}

int shim_spawn(struct fdset_vmm **vmm) {
    static int failed;

    if (failed)
        return failed;
    if (!shim_may_spawn()) {
        shim_complain("no helper is named by FDSET_VMM_SOCKET or FDSET_VMM_FD, and one of this "
                      "program's own would have no sets: see FDSET_ADD_FD in fdset-preload(7)");
        return failed = -ENOENT;
    }
    int error = spawn(vmm);
    if (error < 0 && error != -ENOTCONN)
        shim_complain("%s", fdset_error_text());
    if (is_final(error))
        failed = error;
    return error;
}

/* ---------------------------------------------------------------- by fdset-qemu */

/* A pipe: a newline comes when helper and relay serve, and otherwise what is to be said. It stays
 * open for what is executed before it is needed. */
static _Atomic int starting = -1;
static struct stat starting_pipe;

__attribute__((constructor)) static void starting_find(void) {
    const char *number = getenv("FDSET_START_FD");
    int fd;

    if (number && int_parse(number, &fd) && fstat(fd, &starting_pipe) == 0 &&
        S_ISFIFO(starting_pipe.st_mode))
        starting = fd;
    /* QEMU's own child goes on in its place (-daemonize), and cannot say anything later. */
    pthread_atfork(shim_await_start, NULL, NULL);
}

static bool is_still(int fd) {
    struct stat status;
    return fstat(fd, &status) == 0 && status.st_ino == starting_pipe.st_ino &&
           status.st_dev == starting_pipe.st_dev;
}

void shim_await_start(void) {
    int fd = starting < 0 ? -1 : atomic_exchange(&starting, -1);
    char text[4096] = "";
    size_t length = 0;
    ssize_t got;

    if (fd < 0 || !is_still(fd))
        return;
    unsetenv("FDSET_START_FD");
    while (text[0] != '\n' && ((got = read(fd, text + length, sizeof(text) - length)) > 0 ||
                               (got < 0 && errno == EINTR)))
        length += got > 0 ? (size_t)got : 0;
    REAL(close)(fd);
    if (text[0] == '\n')
        return;
    if (write(STDERR_FILENO, text, length) < 0)
        _exit(1);
    _exit(1);
}

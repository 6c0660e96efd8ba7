/* SPDX-License-Identifier: MIT */
/* A helper of this program's own, which ends with it. */
#include "spawn.h"

#include "add_fd.h"
#include "libc.h"
#include "say.h"

#include <errno.h>
#include <fdset/limits.h>
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

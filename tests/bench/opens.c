/* SPDX-License-Identifier: MIT */
/* Makes a number of opens and ends, for check-budget. What is counted lies between a
 * Hold and an Unhold, which the helper serves after the last close.
 *
 *     bench-opens open|open-close|open-many NUMBER
 *
 * No set is opened twice, but for open-close; open-many opens 50 at a time. */
#include <err.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ours.h"

#define SETS    250
#define AT_ONCE 50

static char paths[SETS][SET_PATH_BYTES];

static struct fdset_vmm *start(void) {
    struct ours ours = {0};
    int descriptors[SETS], disk = memfd_create("disk", MFD_CLOEXEC);
    for (size_t i = 0; i < SETS; i++) {
        descriptors[i] = disk;
        set_path(i, paths[i]);
    }
    ours_start(&ours, descriptors, SETS, NULL);
    return ours.vmm;
}

static int open_set(struct fdset_vmm *vmm, size_t set) {
    int fd = fdset_open(vmm, paths[set], O_RDWR | O_CLOEXEC);
    if (fd < 0)
        errx(1, "%s: %s", paths[set], fdset_error_text());
    return fd;
}

/* At first the helper's threads look at the members' file systems, one after the
 * other. An open of the last waits for the close before it, and that for them. */
static void settle_down(struct fdset_vmm *vmm) {
    for (int i = 0; i < 2; i++)
        fdset_close(vmm, open_set(vmm, SETS - 1));
}

static void open_many(struct fdset_vmm *vmm, size_t first) {
    struct fdset_open_request requests[AT_ONCE];
    for (size_t i = 0; i < AT_ONCE; i++)
        requests[i] =
            (struct fdset_open_request){.path = paths[first + i], .flags = O_RDWR | O_CLOEXEC};
    if (fdset_open_many(vmm, requests, AT_ONCE) != AT_ONCE)
        errx(1, "open_many: %s", fdset_error_text());
}

/* Waits for the helper's end, but without the library, which would do more. */
static void end(struct fdset_vmm *vmm) {
    fdset_unhold(vmm, "/dev/fdset/end");
    shutdown(fdset_vmm_socket(vmm), SHUT_RDWR);
    waitpid(fdset_vmm_helper_pid(vmm), NULL, 0);
    _exit(0);
}

int main(int argc, char **argv) {
    if (argc != 3)
        errx(2, "usage: bench-opens open|open-close|open-many NUMBER");
    size_t number = strtoul(argv[2], NULL, 10);
    if (number > SETS || number % AT_ONCE != 0)
        errx(2, "NUMBER: a multiple of %d, at most %d", AT_ONCE, SETS);
    struct fdset_vmm *vmm = start();
    settle_down(vmm);
    fdset_hold(vmm, "/dev/fdset/begin"); /* there is none: a mark */
    if (strcmp(argv[1], "open-many") == 0)
        for (size_t i = 0; i < number; i += AT_ONCE)
            open_many(vmm, i);
    else if (strcmp(argv[1], "open-close") == 0)
        for (size_t i = 0; i < number; i++)
            fdset_close(vmm, open_set(vmm, i));
    else
        for (size_t i = 0; i < number; i++)
            open_set(vmm, i);
    end(vmm);
}

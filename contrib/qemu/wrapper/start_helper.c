/* SPDX-License-Identifier: MIT */
/* Starts the helper. */
#include "start_helper.h"

#include <errno.h>
#include <fdset/manager.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/descriptors.h"
#include "common/say.h"
#include "launch.h"
#include "monitors.h"
#include "places.h"
#include "sockets.h"

/* One end for ourselves or the emulator, one for the helper. */
static void pair_make(int ends[2]) {
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        die("cannot make a pair of sockets: %s", strerror(errno));
    ends[0] = fd_move_high(ends[0], "a socket");
    ends[1] = fd_move_high(ends[1], "a socket");
}

/* It has the emulator's socket from birth, and so ends when the last process
 * that has the other end does: with the emulator, also if that goes into the
 * background, and also if it was never run. */
int helper_start(const struct own_options *own, int log, int *manage,
                 struct fdset_manager **manager) {
    struct companion helper = {0};
    int vmm[2], first[2], second[2];

    pair_make(vmm);
    pair_make(first);
    pair_make(second);
    launch_word(&helper, "%s", place_of_helper(own));
    launch_word(&helper, "--vmm-fd");
    launch_word(&helper, "%d", launch_fd(&helper, vmm[1]));
    launch_word(&helper, "--manage-fd");
    launch_word(&helper, "%d", launch_fd(&helper, first[1]));
    launch_word(&helper, "--manage-fd");
    launch_word(&helper, "%d", launch_fd(&helper, second[1]));
    if (own->manage) {
        launch_word(&helper, "--manage");
        launch_word(&helper, "%s", own->manage);
    }
    if (own->observe) {
        launch_word(&helper, "--observe");
        launch_word(&helper, "%s", own->observe);
    }
    launch_words(&helper, getenv("FDSET_HELPER_OPTIONS"));
    for (size_t i = 0; i < own->limit_count; i++) {
        launch_word(&helper, "--limit");
        launch_word(&helper, "%s", own->limits[i]);
    }
    int errors = launch_run(&helper, log);
    close(vmm[1]);
    close(first[1]);
    close(second[1]);

    /* Answers when it is locked in and serves. */
    if (fdset_manager_attach_fd(manager, first[0], "fdset-qemu") < 0)
        launch_die(&helper, errors,
                   "(--fdset-helper or FDSET_HELPER names another helper, and "
                   "FDSET_HELPER_OPTIONS gives it options.)");
    if (errors >= 0)
        close(errors);
    *manage = second[0];
    return vmm[0];
}

/* SPDX-License-Identifier: MIT */
/* Starts the helper, and the relay, a process of this program's own. */
#include "start.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/descriptors.h"
#include "launch.h"
#include "places.h"

/* It has the emulator's socket from birth, and so ends when the last process
 * that has the other end does: with the emulator, also if that goes into the
 * background, and also if it was never run. */
int helper_start(const struct own_options *own, int log, int *manage,
                 struct fdset_manager **manager) {
    struct companion helper = {0};
    int vmm[2], first[2], second[2];

    socket_pair_make_high(vmm, SOCK_SEQPACKET);
    socket_pair_make_high(first, SOCK_SEQPACKET);
    socket_pair_make_high(second, SOCK_SEQPACKET);
    launch_word(&helper, "%s", place_of_helper(own));
    launch_word(&helper, "--vmm-fd=%d", launch_fd(&helper, vmm[1]));
    launch_word(&helper, "--manage-fd=%d", launch_fd(&helper, first[1]));
    launch_word(&helper, "--manage-fd=%d", launch_fd(&helper, second[1]));
    if (own->manage)
        launch_word(&helper, "--manage=%s", own->manage);
    if (own->observe)
        launch_word(&helper, "--observe=%s", own->observe);
    launch_words(&helper, getenv("FDSET_HELPER_OPTIONS"));
    for (size_t i = 0; i < own->limit_count; i++)
        launch_word(&helper, "--limit=%s", own->limits[i]);
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

/* ---------------------------------------------------------------- the relay */

static int run(void *setup) {
    return relay_run(setup);
}

static void address_pass(struct companion *relay, struct address *address) {
    if (!address->path)
        address->fd = launch_fd(relay, address->fd);
}

void relay_start(struct relay_setup *setup, int manage, int lifeline, int log) {
    struct companion relay = {.run = run, .argument = setup};
    int ready[2];
    char byte;
    ssize_t got;

    pipe_make_high(ready);
    launch_word(&relay, "relay");
    setup->manage_fd = launch_fd(&relay, manage);
    setup->lifeline = launch_fd(&relay, lifeline);
    setup->ready = launch_fd(&relay, ready[1]);
    for (size_t i = 0; i < setup->monitor_count; i++) {
        address_pass(&relay, &setup->monitors[i].listen);
        address_pass(&relay, &setup->monitors[i].emulator);
    }
    int errors = launch_run(&relay, log);
    close(ready[1]);

    do {
        got = read(ready[0], &byte, 1);
    } while (got < 0 && errno == EINTR);
    if (got != 1)
        launch_die(&relay, errors, NULL);
    close(ready[0]);
    if (errors >= 0)
        close(errors);
}

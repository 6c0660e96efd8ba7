/* SPDX-License-Identifier: MIT */
/* Starts the helper, and the proxy beside it. */
#include "start_helper.h"

#include <errno.h>
#include <fcntl.h>
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
    struct launch launch = {0};
    int vmm[2], first[2], second[2];

    pair_make(vmm);
    pair_make(first);
    pair_make(second);
    launch_word(&launch, "%s", place_of_helper(own));
    launch_word(&launch, "--vmm-fd");
    launch_word(&launch, "%d", launch_fd(&launch, vmm[1]));
    launch_word(&launch, "--manage-fd");
    launch_word(&launch, "%d", launch_fd(&launch, first[1]));
    launch_word(&launch, "--manage-fd");
    launch_word(&launch, "%d", launch_fd(&launch, second[1]));
    if (own->manage) {
        launch_word(&launch, "--manage");
        launch_word(&launch, "%s", own->manage);
    }
    if (own->observe) {
        launch_word(&launch, "--observe");
        launch_word(&launch, "%s", own->observe);
    }
    launch_words(&launch, getenv("FDSET_HELPER_OPTIONS"));
    for (size_t i = 0; i < own->limit_count; i++) {
        launch_word(&launch, "--limit");
        launch_word(&launch, "%s", own->limits[i]);
    }
    int errors = launch_run(&launch, log);
    close(vmm[1]);
    close(first[1]);
    close(second[1]);

    /* Answers when it is locked in and serves. */
    if (fdset_manager_attach_fd(manager, first[0], "fdset-qemu") < 0)
        launch_die(&launch, errors,
                   "(--fdset-helper or FDSET_HELPER names another helper, and "
                   "FDSET_HELPER_OPTIONS gives it options.)");
    if (errors >= 0)
        close(errors);
    *manage = second[0];
    return vmm[0];
}

static void proxy_monitor(struct launch *launch, const struct monitor *monitor) {
    const struct endpoint *management = &monitor->management;

    if (management->fd >= 0)
        launch_word(launch, "fd:%d", launch_fd(launch, management->fd));
    else
        launch_word(launch, "%s", management->text);
    launch_word(launch, "%sfd:%d", monitor->is_human ? "hmp:" : "",
                launch_fd(launch, monitor->proxys));
}

void proxy_start(const struct monitors *monitors, int manage, int lifeline, int log) {
    struct launch launch = {0};
    int ready[2];
    char byte;
    ssize_t got;

    if (pipe2(ready, O_CLOEXEC) < 0)
        die("cannot make a pipe: %s", strerror(errno));
    ready[0] = fd_move_high(ready[0], "a pipe");
    ready[1] = fd_move_high(ready[1], "a pipe");
    launch_word(&launch, "%s", place_of_proxy());
    launch_word(&launch, "--manage-fd");
    launch_word(&launch, "%d", launch_fd(&launch, manage));
    launch_word(&launch, "--pidfd");
    launch_word(&launch, "%d", launch_fd(&launch, lifeline));
    launch_word(&launch, "--ready-fd");
    launch_word(&launch, "%d", launch_fd(&launch, ready[1]));
    for (size_t i = 0; i < monitors->count; i++)
        proxy_monitor(&launch, &monitors->items[i]);
    int errors = launch_run(&launch, log);
    close(ready[1]);

    do {
        got = read(ready[0], &byte, 1);
    } while (got < 0 && errno == EINTR);
    if (got != 1)
        launch_die(&launch, errors, NULL);
    close(ready[0]);
    if (errors >= 0)
        close(errors);
}

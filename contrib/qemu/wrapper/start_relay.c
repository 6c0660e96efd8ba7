/* SPDX-License-Identifier: MIT */
/* Starts the relay, a process of this program's own. */
#include "start_relay.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/descriptors.h"
#include "common/say.h"
#include "launch.h"

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

    if (pipe2(ready, O_CLOEXEC) < 0)
        die("cannot make a pipe: %s", strerror(errno));
    ready[0] = fd_move_high(ready[0], "a pipe");
    ready[1] = fd_move_high(ready[1], "a pipe");
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

/* SPDX-License-Identifier: MIT */
/* Starts the helper, and the relay, a process of this program's own. */
#include "start.h"

#include <fdset/manager.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/descriptors.h"
#include "launch.h"
#include "places.h"
#include "relay.h"

/* What the relay's process has until it serves. */
struct relay_begin {
    struct companion helper;
    int helper_errors; /* of launch_run(), as it is there; */
    int manager, log;  /* as these are, a connection of its own and a file, or -1 */
    const struct add_fds *adds;
    struct relay_setup setup;
};

/* It has the emulator's socket from birth, and so ends when the last process
 * that has the other end does: with the emulator, also if that goes into the
 * background, and also if it was never run. `manage` are two connections to it. */
static int helper_start(struct relay_begin *begin, const struct own_options *own, int log,
                        int manage[2]) {
    struct companion *helper = &begin->helper;
    int vmm[2], first[2], second[2];

    socket_pair_make_high(vmm, SOCK_SEQPACKET);
    socket_pair_make_high(first, SOCK_SEQPACKET);
    socket_pair_make_high(second, SOCK_SEQPACKET);
    launch_word(helper, "%s", place_of_helper(own));
    launch_word(helper, "--vmm-fd=%d", launch_fd(helper, vmm[1]));
    launch_word(helper, "--manage-fd=%d", launch_fd(helper, first[1]));
    launch_word(helper, "--manage-fd=%d", launch_fd(helper, second[1]));
    if (own->manage)
        launch_word(helper, "--manage=%s", own->manage);
    if (own->observe)
        launch_word(helper, "--observe=%s", own->observe);
    launch_words(helper, getenv("FDSET_HELPER_OPTIONS"));
    for (size_t i = 0; i < own->limit_count; i++)
        launch_word(helper, "--limit=%s", own->limits[i]);
    begin->helper_errors = launch_run(helper, log);
    close(vmm[1]);
    close(first[1]);
    close(second[1]);
    manage[0] = first[0];
    manage[1] = second[0];
    return vmm[0];
}

/* In the relay's process, while the emulator is loaded: what goes wrong is said by the pipe that
 * the emulator waits for. */
static int relay_begin(void *argument) {
    struct relay_begin *begin = argument;
    struct fdset_manager *manager;

    /* Answers when it is locked in and serves. */
    if (fdset_manager_attach_fd(&manager, begin->manager, "fdset-qemu") < 0)
        launch_die(&begin->helper, begin->helper_errors,
                   "(--fdset-helper or FDSET_HELPER names another helper, and "
                   "FDSET_HELPER_OPTIONS gives it options.)");
    add_fds_hand_over(begin->adds, manager);
    fdset_manager_free(manager);
    if (begin->helper_errors >= 0)
        close(begin->helper_errors);
    if (begin->log >= 0) {
        dup2(begin->log, STDERR_FILENO);
        close(begin->log);
    }
    malloc_trim(0); /* what was the wrapper's */
    return relay_run(&begin->setup);
}

static int pass(struct companion *companion, int fd) {
    return fd < 0 ? -1 : launch_fd(companion, fd);
}

struct start companions_start(const struct own_options *own, struct add_fds *adds, int joint,
                              bool waits, int log) {
    static struct relay_begin begin;
    static struct companion relay = {.run = relay_begin, .argument = &begin};
    int ready[2], manage[2], vmm = helper_start(&begin, own, log, manage);
    int helper_errors = begin.helper_errors;

    pipe_make_high(ready);
    launch_word(&relay, "relay");
    begin.helper_errors = pass(&relay, helper_errors);
    begin.log = pass(&relay, log);
    begin.manager = launch_fd(&relay, manage[0]);
    begin.adds = adds;
    begin.setup = (struct relay_setup){.manage_fd = launch_fd(&relay, manage[1]),
                                       .joint = launch_fd(&relay, joint),
                                       .ready = launch_fd(&relay, ready[1]),
                                       .waits = waits};
    add_fds_pass(adds, &relay);
    launch_run(&relay, ready[1]);
    close(ready[1]);
    close(manage[0]);
    close(manage[1]);
    if (helper_errors >= 0)
        close(helper_errors);
    return (struct start){.vmm = vmm, .ready = ready[0]};
}

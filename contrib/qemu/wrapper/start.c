/* SPDX-License-Identifier: MIT */
/* Starts the relay, a process of this program's own, and from there the helper. */
#include "start.h"

#include <errno.h>
#include <fdset/manager.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/descriptors.h"
#include "common/memory.h"
#include "common/say.h"
#include "environment.h"
#include "launch.h"
#include "places.h"
#include "relay.h"

/* ----------------------------------------------------------------- the helper */

_Noreturn static void helper_become(const struct own_options *own, int vmm, const int manage[2]) {
    const char *more = getenv("FDSET_HELPER_OPTIONS"), *word;
    size_t room = 8 + own->limit_count + (more ? strlen(more) : 0), length;
    char **words = xcalloc(room, sizeof(*words)), **next = words;

    *next++ = xstrdup(place_of_helper(own));
    *next++ = xasprintf("--vmm-fd=%d", vmm);
    *next++ = xasprintf("--manage-fd=%d", manage[0]);
    *next++ = xasprintf("--manage-fd=%d", manage[1]);
    if (own->manage)
        *next++ = xasprintf("--manage=%s", own->manage);
    if (own->observe)
        *next++ = xasprintf("--observe=%s", own->observe);
    while ((word = environment_word(&more, &length)))
        *next++ = xasprintf("%.*s", (int)length, word);
    for (size_t i = 0; i < own->limit_count; i++)
        *next++ = xasprintf("--limit=%s", own->limits[i]);
    execv(words[0], words);
    complain("cannot run %s: %s", words[0], strerror(errno));
    _exit(127);
}

/* It has the emulator's socket from birth, and so ends when the last process that has the other
 * end does: with the emulator, also if that goes into the background, and also if it was never
 * run. `manage` gets two connections to it. Consumes `vmm`. Returns where what it says can be
 * read; -1 where that goes to the log. */
static int helper_start(const struct own_options *own, int vmm, int log, int manage[2]) {
    int first[2], second[2], errors[2] = {-1, log};

    socket_pair_make_high(first, SOCK_SEQPACKET);
    socket_pair_make_high(second, SOCK_SEQPACKET);
    if (log < 0)
        pipe_make_high(errors);
    if (launch(errors[1], (int *[]){&vmm, &first[1], &second[1]}, 3))
        helper_become(own, vmm, (int[]){first[1], second[1]});
    if (log < 0)
        close(errors[1]);
    close(vmm);
    close(first[1]);
    close(second[1]);
    manage[0] = first[0];
    manage[1] = second[0];
    return errors[0];
}

/* Says what the helper has said. */
_Noreturn static void helper_die(const struct own_options *own, int errors) {
    char text[2048] = "See the file of --fdset-log.";
    size_t length = 0;
    ssize_t got;

    while (errors >= 0 && length < sizeof(text) - 1 &&
           ((got = read(errors, text + length, sizeof(text) - 1 - length)) > 0 ||
            (got < 0 && errno == EINTR)))
        length += got > 0 ? (size_t)got : 0;
    while (length > 0 && text[length - 1] == '\n')
        length--;
    if (errors >= 0)
        text[length] = '\0';
    die("%s does not start:\n%s\n(--fdset-helper or FDSET_HELPER names another helper, and "
        "FDSET_HELPER_OPTIONS gives it options.)",
        place_of_helper(own), text);
}

/* ------------------------------------------------------------------ the relay */

/* In its process, while the emulator is loaded: what goes wrong is said by the pipe that the
 * emulator waits for, which is standard error until there is a log. */
static int relay_begin(const struct own_options *own, const struct add_fds *adds, int vmm, int log,
                       struct relay_setup *setup) {
    struct fdset_manager *manager;
    int manage[2], errors = helper_start(own, vmm, log, manage);

    /* Answers when it is locked in and serves. */
    if (fdset_manager_attach_fd(&manager, manage[0], "fdset-qemu") < 0)
        helper_die(own, errors);
    add_fds_hand_over(adds, manager);
    fdset_manager_free(manager);
    if (errors >= 0)
        close(errors);
    if (log >= 0) {
        dup2(log, STDERR_FILENO);
        close(log);
    }
    malloc_trim(0); /* what was the wrapper's */
    setup->manage_fd = manage[1];
    return relay_run(setup);
}

struct start companions_start(const struct own_options *own, struct add_fds *adds, int joint,
                              bool waits, int log) {
    struct relay_setup setup = {.joint = joint, .waits = waits};
    int **kept = xcalloc(4 + 2 * adds->count, sizeof(*kept)), ready[2], vmm[2];
    size_t count = 0;

    socket_pair_make_high(vmm, SOCK_SEQPACKET);
    pipe_make_high(ready);
    setup.ready = ready[1];
    kept[count++] = &vmm[1];
    kept[count++] = &setup.joint;
    kept[count++] = &setup.ready;
    if (log >= 0)
        kept[count++] = &log;
    for (size_t i = 0; i < adds->count; i++) {
        kept[count++] = &adds->items[i].fd;
        kept[count++] = &adds->portals[i];
    }
    if (launch(ready[1], kept, count)) {
        process_title("relay");
        exit(relay_begin(own, adds, vmm[1], log, &setup));
    }
    free(kept);
    close(ready[1]);
    close(vmm[1]);
    return (struct start){.vmm = vmm[0], .ready = ready[0]};
}

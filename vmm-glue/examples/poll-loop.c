/* SPDX-License-Identifier: MIT */
/* Opens a disk without its path, in a loop around poll(2) that waits nowhere
 * else. If the helper is restarted, the loop attaches to the new one and
 * opens the disk again. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <fdset/vmm.h>

static const char *path;
static bool wanted = true; /* the disk is to be opened */
static int opens_left = 1;

/* Called by fdset_vmm_dispatch(), so in the loop's own thread. */
static void opened(struct fdset_vmm *vmm, int fd, void *context) {
    if (fd == -ECONNRESET)
        return; /* the helper has gone: link_changed() hears of the next */
    if (fd < 0)
        errx(1, "%s", fdset_error_text());
    puts("the disk is open");
    fdset_close(vmm, fd);
    opens_left--;
}

/* So is this. It must not use the object. */
static void link_changed(void *context, enum fdset_link link,
                         const char *text) {
    puts(text);
    if (link == FDSET_LINK_UP)
        wanted = true;
}

static void open_if_wanted(struct fdset_vmm *vmm) {
    if (!wanted)
        return;
    wanted = false;
    /* A manager may take up to ten seconds to add it. */
    int error = fdset_open_submit(vmm, path, O_RDONLY | O_CLOEXEC,
                                  10000, opened, NULL);
    if (error && error != -ECONNRESET)
        errx(1, "%s", fdset_error_text());
}

int main(int argc, char **argv) {
    struct fdset_reconnect reconnect = {.first_ms = 50,
                                        .state = link_changed};
    struct fdset_vmm *vmm;
    if (argc < 3)
        errx(2, "usage: %s SOCKET PATH [TIMES]", argv[0]);
    if (argc > 3)
        opens_left = atoi(argv[3]);
    path = argv[2];
    setlinebuf(stdout);
    if (fdset_vmm_attach_path(&vmm, argv[1], NULL) < 0 ||
        fdset_vmm_set_reconnect(vmm, &reconnect) < 0)
        errx(1, "%s", fdset_error_text());

    struct pollfd fds[] = {
        {.fd = fdset_vmm_poll_fd(vmm), .events = POLLIN},
        {.fd = STDIN_FILENO, .events = POLLIN},
    };
    while (opens_left > 0) {
        open_if_wanted(vmm);
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            err(1, "poll");
        if (fds[0].revents)
            fdset_vmm_dispatch(
                vmm, 0); /* link_changed() hears of errors */
        if (fds[1].revents) {
            char input[256];
            if (read(STDIN_FILENO, input, sizeof(input)) <= 0)
                fds[1].fd = -1; /* its end: leave it out */
        }
    }
    fdset_vmm_free(vmm);
    return 0;
}

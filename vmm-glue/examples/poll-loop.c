/* SPDX-License-Identifier: MIT */
/* Opens a file without its path, and without ever waiting anywhere but in poll(2):
 * a main loop that serves standard input too, as an emulator's would its guest. */
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include <fdset/vmm.h>

static int opens_under_way;

/* Called by fdset_vmm_dispatch(), so in the loop's own thread. */
static void opened(struct fdset_vmm *vmm, int fd, void *context) {
    const char *path = context;
    opens_under_way--;
    if (fd < 0) {
        printf("%s: %s\n", path, fdset_error_text());
        return;
    }
    printf("%s is open\n", path);
    fdset_close(vmm, fd);
}

static void submit(struct fdset_vmm *vmm, char *path) {
    /* -EAGAIN would mean: dispatch first. Two opens are never too many. */
    if (fdset_open_submit(vmm, path, O_RDONLY | O_CLOEXEC, 100,
                          opened, path) < 0)
        errx(1, "%s", fdset_error_text());
    opens_under_way++;
}

int main(int argc, char **argv) {
    if (argc != 2)
        errx(2, "usage: %s FILE", argv[0]);
    int file = open(argv[1], O_RDONLY | O_CLOEXEC);
    if (file < 0)
        err(1, "%s", argv[1]);
    struct fdset_initial disk = {.fd = file, .set = 1};
    struct fdset_spawn_options options = {.initial = &disk,
                                          .initial_count = 1};
    struct fdset_vmm *vmm;
    if (fdset_vmm_spawn(&vmm, &options) < 0)
        errx(1, "%s", fdset_error_text());
    close(file);

    static char there[] = "/dev/fdset/1", missing[] = "/dev/fdset/2";
    submit(vmm, missing); /* waits for a manager, in vain */
    submit(vmm, there);   /* and does not hold this one up */
    struct pollfd fds[] = {
        {.fd = fdset_vmm_poll_fd(vmm), .events = POLLIN},
        {.fd = STDIN_FILENO, .events = POLLIN},
    };
    while (opens_under_way > 0) {
        if (poll(fds, 2, -1) < 0)
            err(1, "poll");
        if (fds[0].revents && fdset_vmm_dispatch(vmm, 0) < 0)
            errx(1, "%s", fdset_error_text());
        if (fds[1].revents) {
            char input[256];
            ssize_t length =
                read(STDIN_FILENO, input, sizeof(input));
            if (length <= 0)
                fds[1].fd = -1; /* its end: leave it out */
        }
    }
    fdset_vmm_free(vmm);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/* libfdset as a source of a main loop like GLib's, which asks each source in turn:
 * prepare (ready already, or how long at most to wait?), then polls the descriptors of
 * all, then check (ready now?), then dispatch. With GLib itself, the three functions
 * below go into a GSourceFuncs, and g_source_add_unix_fd() takes the descriptor. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include <fdset/vmm.h>

/* ------------------------------------------------------ the loop, in small */

struct source {
    bool (*prepare)(struct source *source, int *timeout_ms);
    bool (*check)(struct source *source);
    bool (*dispatch)(struct source *source); /* false: take me out */
    struct pollfd pollfd;
};

/* One round. Returns false where no source is left. */
static bool iterate(struct source **sources, size_t count) {
    struct pollfd fds[8];
    int timeout = -1;
    bool ready[8] = {false}, left = false;
    for (size_t i = 0; i < count; i++) {
        int wanted = -1;
        fds[i] = (struct pollfd){.fd = -1};
        if (!sources[i])
            continue;
        ready[i] = sources[i]->prepare(sources[i], &wanted);
        if (ready[i])
            timeout = 0;
        else if (wanted >= 0 && (timeout < 0 || wanted < timeout))
            timeout = wanted;
        fds[i] = sources[i]->pollfd;
    }
    if (poll(fds, count, timeout) < 0 && errno != EINTR)
        err(1, "poll");
    for (size_t i = 0; i < count; i++) {
        if (!sources[i])
            continue;
        sources[i]->pollfd.revents = fds[i].revents;
        if ((ready[i] || sources[i]->check(sources[i])) &&
            !sources[i]->dispatch(sources[i]))
            sources[i] = NULL;
        left |= sources[i] != NULL;
    }
    return left;
}

/* -------------------------------------------------------- libfdset in it */

struct fdset_source {
    struct source base;
    struct fdset_vmm *vmm;
    int opens_under_way;
};

/* The descriptor tells of everything, so there is nothing to prepare. */
static bool fdset_prepare(struct source *source, int *timeout_ms) {
    return false;
}

static bool fdset_check(struct source *source) {
    return source->pollfd.revents != 0;
}

static bool fdset_dispatch(struct source *source) {
    struct fdset_source *self = (struct fdset_source *)source;
    if (fdset_vmm_dispatch(self->vmm, 0) < 0)
        return false; /* the connection is over, and all outcomes are given */
    return self->opens_under_way > 0;
}

static void opened(struct fdset_vmm *vmm, int fd, void *context) {
    struct fdset_source *self = context;
    self->opens_under_way--;
    printf("%s\n",
           fd < 0 ? fdset_error_text() : "/dev/fdset/1 is open");
    if (fd >= 0)
        fdset_close(vmm, fd);
}

int main(int argc, char **argv) {
    struct fdset_source source = {
        .base = {.prepare = fdset_prepare,
                 .check = fdset_check,
                 .dispatch = fdset_dispatch}};
    struct source *sources[] = {&source.base};
    if (argc != 2)
        errx(2, "usage: %s FILE", argv[0]);
    int file = open(argv[1], O_RDONLY | O_CLOEXEC);
    if (file < 0)
        err(1, "%s", argv[1]);
    struct fdset_initial disk = {.fd = file, .set = 1};
    struct fdset_spawn_options options = {.initial = &disk,
                                          .initial_count = 1};
    if (fdset_vmm_spawn(&source.vmm, &options) < 0)
        errx(1, "%s", fdset_error_text());
    close(file);

    source.base.pollfd = (struct pollfd){
        .fd = fdset_vmm_poll_fd(source.vmm), .events = POLLIN};
    for (; source.opens_under_way < 3; source.opens_under_way++)
        if (fdset_open_submit(source.vmm, "/dev/fdset/1",
                              O_RDONLY | O_CLOEXEC, 0, opened,
                              &source) < 0)
            errx(1, "%s", fdset_error_text());
    while (iterate(sources, 1)) {
    }
    fdset_vmm_free(source.vmm);
    return source.opens_under_way == 0 ? 0 : 1;
}

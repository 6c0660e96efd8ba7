/* SPDX-License-Identifier: MIT */
/* Opens a disk without its path, in the event loop of libsystemd. If the
 * helper is restarted, the loop attaches to the new one and opens the disk
 * again. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include <fdset/vmm.h>
#include <systemd/sd-event.h>

struct sd_event_disk {
    sd_event *loop;
    struct fdset_vmm *vmm;
    const char *path;
    bool wanted; /* it is to be opened */
    int opens_left;
};

static void opened(struct fdset_vmm *vmm, int fd, void *context) {
    struct sd_event_disk *disk = context;
    if (fd == -ECONNRESET)
        return; /* the helper has gone: link_changed() hears of the next */
    if (fd < 0)
        errx(1, "%s", fdset_error_text());
    puts("the disk is open");
    fdset_close(vmm, fd);
    if (--disk->opens_left == 0)
        sd_event_exit(disk->loop, 0);
}

/* Called by fdset_vmm_dispatch(). It must not use the object. */
static void link_changed(void *context, enum fdset_link link,
                         const char *text) {
    struct sd_event_disk *disk = context;
    puts(text);
    if (link == FDSET_LINK_UP)
        disk->wanted = true;
}

static void open_if_wanted(struct sd_event_disk *disk) {
    if (!disk->wanted)
        return;
    disk->wanted = false;
    /* A manager may take up to ten seconds to add it. */
    int error =
        fdset_open_submit(disk->vmm, disk->path,
                          O_RDONLY | O_CLOEXEC, 10000, opened, disk);
    if (error && error != -ECONNRESET)
        errx(1, "%s", fdset_error_text());
}

/* The one descriptor tells of everything that there is to do. */
static int ready(sd_event_source *source, int fd, uint32_t events,
                 void *context) {
    struct sd_event_disk *disk = context;
    fdset_vmm_dispatch(disk->vmm, 0);
    open_if_wanted(disk);
    return 0;
}

static void check(int error) {
    if (error < 0)
        errx(1, "sd-event: %s", strerror(-error));
}

int main(int argc, char **argv) {
    struct sd_event_disk disk = {.wanted = true, .opens_left = 1};
    struct fdset_reconnect reconnect = {
        .first_ms = 50, .state = link_changed, .context = &disk};
    if (argc < 3)
        errx(2, "usage: %s SOCKET PATH [TIMES]", argv[0]);
    if (argc > 3)
        disk.opens_left = atoi(argv[3]);
    disk.path = argv[2];
    setlinebuf(stdout);
    if (fdset_vmm_attach_path(&disk.vmm, argv[1], NULL) < 0 ||
        fdset_vmm_set_reconnect(disk.vmm, &reconnect) < 0)
        errx(1, "%s", fdset_error_text());

    check(sd_event_new(&disk.loop));
    check(sd_event_add_io(disk.loop, NULL,
                          fdset_vmm_poll_fd(disk.vmm), EPOLLIN,
                          ready, &disk));
    open_if_wanted(&disk);
    check(sd_event_loop(disk.loop));
    sd_event_unref(disk.loop);
    fdset_vmm_free(disk.vmm);
    return 0;
}

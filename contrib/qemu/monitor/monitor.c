/* SPDX-License-Identifier: MIT */
/* Accepts clients, and connects each to the emulator. */
#include "monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/say.h"
#include "common/sockets.h"

/* When what was paused is tried again. */
#define RETRY_MS 100

/* As many clients at once are served of one monitor; more wait. QEMU has one. */
#define LINKS_MAX 32

static int refused(const struct address *address, const char *what, int error) {
    if (address->path)
        complain("%s %s: %s", what, address->path, strerror(error));
    else
        complain("%s descriptor %d: %s", what, address->fd, strerror(error));
    return error ? -error : -EINVAL;
}

/* ----------------------------------------------------------------- emulator */

static int dial(const char *path) {
    return socket_connect(path, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* A new connection to the emulator, or the one that there is. -errno. */
static int emulator_connect(struct relay_monitor *monitor) {
    struct address *emulator = &monitor->emulator;
    char path[64];

    if (emulator->path)
        return dial(emulator->path);
    if (emulator->fd < 0)
        return -ECONNREFUSED;
    if (fcntl(emulator->fd, F_GETFL) & O_PATH) {
        /* A socket's name may be gone; its inode can still be reached. */
        snprintf(path, sizeof(path), "/proc/self/fd/%d", emulator->fd);
        return dial(path);
    }
    int fd = emulator->fd;
    emulator->fd = -1;
    monitor->once = true;
    return fd;
}

/* ------------------------------------------------------------------ clients */

static void pause_listening(struct relay_monitor *monitor) {
    monitor->paused = true;
    loop_set_alarm(&monitor->relay->loop, RETRY_MS);
    if (monitor->watch.ready)
        loop_unwatch(&monitor->relay->loop, &monitor->watch);
}

static void link_ended(void *owner) {
    struct relay_monitor *monitor = owner;

    monitor->link_count--;
    loop_set_alarm(&monitor->relay->loop, 0);
    if (monitor->once)
        monitor_finish(monitor);
}

static int emulator_redial(void *owner) {
    return emulator_connect(owner);
}

/* Lacks something that may be there later? */
static bool is_passing(int error) {
    return error == -EAGAIN || error == -EMFILE || error == -ENFILE || error == -ENOMEM ||
           error == -ENOBUFS;
}

/* Begins to serve the client that waits, or hangs up on it as the emulator would. */
static void serve(struct relay_monitor *monitor) {
    int error = emulator_connect(monitor), client = monitor->client;

    if (is_passing(error)) {
        pause_listening(monitor);
        return;
    }
    monitor->client = -1;
    if (error < 0)
        close(client);
    else
        error = link_begin(
            monitor->relay, client, error, monitor->human,
            &(struct link_owner){monitor, link_ended, monitor->once ? NULL : emulator_redial});
    if (error == 0)
        monitor->link_count++;
    else if (monitor->once)
        monitor_finish(monitor);
}

static void listener_ready(struct relay_watch *watch, uint32_t events) {
    struct relay_monitor *monitor = watch->owner;
    int most = monitor->once ? 1 : LINKS_MAX;
    int client = -1, error = EMFILE;

    if (monitor->link_count < most) {
        client = accept4(monitor->listen.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        error = errno;
    }
    if (client >= 0) {
        monitor->client = client;
        serve(monitor);
    } else if (error != EAGAIN && error != ECONNABORTED && error != EINTR) {
        pause_listening(monitor);
    }
}

/* ---------------------------------------------------------------- listening */

static int listen_at_path(struct relay_monitor *monitor) {
    struct sockaddr_un name;
    struct stat status;

    if (!socket_address(&name, monitor->listen.path))
        return refused(&monitor->listen, "cannot listen at", ENAMETOOLONG);
    /* What stands there is replaced, as QEMU does, be it a socket of before or a file that
     * management has made to have the name for itself. */
    if (unlink(monitor->listen.path) < 0 && errno != ENOENT)
        return refused(&monitor->listen, "cannot replace", errno);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t mask = umask(0177);
    int result = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&name, sizeof(name));
    umask(mask);
    if (result < 0 || listen(fd, 8) < 0)
        return refused(&monitor->listen, "cannot listen at", errno);
    if (lstat(monitor->listen.path, &status) == 0) {
        monitor->device = status.st_dev;
        monitor->inode = status.st_ino;
    }
    monitor->listen.fd = fd;
    return 0;
}

static int check_inherited(const struct relay_monitor *monitor) {
    int fd = monitor->listen.fd;

    if (socket_type(fd) != SOCK_STREAM)
        return refused(&monitor->listen, "no stream socket for clients:", ENOTSOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    return 0;
}

static int check_emulator(const struct relay_monitor *monitor) {
    struct sockaddr_un name;
    struct stat status;
    int fd = monitor->emulator.fd;

    if (monitor->emulator.path && !socket_address(&name, monitor->emulator.path))
        return refused(&monitor->emulator, "cannot connect to", ENAMETOOLONG);
    if (monitor->emulator.path)
        return 0;
    if (fstat(fd, &status) < 0 || !S_ISSOCK(status.st_mode))
        return refused(&monitor->emulator, "no socket of the emulator's:", ENOTSOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    return 0;
}

int monitor_begin(struct relay_monitor *monitor) {
    int error = check_emulator(monitor);

    if (!error)
        error = monitor->listen.path ? listen_at_path(monitor) : check_inherited(monitor);
    if (error)
        return error;
    if (!socket_is_listening(monitor->listen.fd)) {
        monitor->once = true;
        monitor->client = monitor->listen.fd;
        monitor->listen.fd = -1;
        serve(monitor);
        return 0;
    }
    /* Another process may take the client that woke us. */
    fcntl(monitor->listen.fd, F_SETFL, fcntl(monitor->listen.fd, F_GETFL) | O_NONBLOCK);
    monitor->watch =
        (struct relay_watch){.fd = monitor->listen.fd, .ready = listener_ready, .owner = monitor};
    loop_watch(&monitor->relay->loop, &monitor->watch, EPOLLIN);
    return 0;
}

void monitor_resume(struct relay_monitor *monitor) {
    if (!monitor->paused || monitor->finished)
        return;
    monitor->paused = false;
    if (monitor->client >= 0)
        serve(monitor);
    if (!monitor->paused && !monitor->finished && monitor->watch.ready)
        loop_watch(&monitor->relay->loop, &monitor->watch, EPOLLIN);
}

static void unlink_ours(const struct relay_monitor *monitor) {
    struct stat status;

    /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): a socket of ours has a path */
    if (monitor->inode && lstat(monitor->listen.path, &status) == 0 &&
        status.st_dev == monitor->device && status.st_ino == monitor->inode)
        unlink(monitor->listen.path);
}

void monitor_finish(struct relay_monitor *monitor) {
    if (monitor->finished)
        return;
    monitor->finished = true;
    loop_set_alarm(&monitor->relay->loop, 0);
    if (monitor->watch.ready)
        loop_unwatch(&monitor->relay->loop, &monitor->watch);
    if (monitor->listen.fd >= 0)
        close(monitor->listen.fd);
    if (monitor->client >= 0)
        close(monitor->client);
    monitor->listen.fd = monitor->client = -1;
    unlink_ours(monitor);
}

/* SPDX-License-Identifier: MIT */
/* What systemd passes and wants to hear, without its library. */
#include "start/notify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "number.h"

const char *const socket_names[ROLE_OBSERVER + 1] = {
    [ROLE_VMM] = "vmm", [ROLE_MANAGER] = "manage", [ROLE_OBSERVER] = "observe"};

/* The role that a name of this length stands for, or 0. */
static enum role role_named(const char *name, size_t length) {
    for (enum role role = ROLE_VMM; role <= ROLE_OBSERVER; role++)
        if (strlen(socket_names[role]) == length && memcmp(socket_names[role], name, length) == 0)
            return role;
    return 0;
}

int notify_sockets(struct passed_socket sockets[NOTIFY_MAX_SOCKETS], struct refusal *refusal) {
    const char *pid = getenv("LISTEN_PID"), *count_text = getenv("LISTEN_FDS");
    char *names = getenv("LISTEN_FDNAMES"), *name = names;
    uint64_t count;

    /* Meant for another process, such as a wrapper that started us. */
    if (!pid || !count_text || atol(pid) != getpid())
        return 0;
    if (!number_parse(count_text, NOTIFY_MAX_SOCKETS, &count))
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL,
                      "the service manager passes up to %d sockets, not LISTEN_FDS=%s",
                      NOTIFY_MAX_SOCKETS, count_text);
    for (uint64_t i = 0; i < count; i++) {
        size_t length = name ? strcspn(name, ":") : 0, role = name ? strcspn(name, ":,") : 0;
        sockets[i].role = role_named(name, role);
        if (!sockets[i].role)
            return refuse(refusal, REFUSAL_ARGUMENT, EINVAL,
                          "a socket of systemd's must be called manage, vmm or observe "
                          "(FileDescriptorName= in its unit); of %s, LISTEN_FDNAMES says \"%s\"",
                          count_text, names ? names : "");
        sockets[i].words = role < length ? strndup(name + role + 1, length - role - 1) : NULL;
        if (name)
            name += length + (name[length] == ':');
    }
    return (int)count;
}

int notify_prepare(void) {
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(address.sun_path))
        return -1;
    strcpy(address.sun_path, path);
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, size) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

void notify_ready(int socket, const char *status) {
    char text[1024];
    int length = snprintf(text, sizeof(text), "READY=1\nSTATUS=%s\n", status);
    struct iovec vector = {text, (size_t)length < sizeof(text) ? (size_t)length : sizeof(text) - 1};
    struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1};

    if (socket < 0)
        return;
    sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    close(socket);
}

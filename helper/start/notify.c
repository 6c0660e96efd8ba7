/* SPDX-License-Identifier: MIT */
/* What systemd passes and wants to hear, without its library; and the line of --ready-fd. */
#include "start/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "confine/confine.h"
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

/* ----------------------------------------------------------------- --ready-fd */

/* The line is to be written when the sandbox is closed, for not before that is it sure
 * that the helper will serve; and then its filter lets it write to nothing but the log.
 * So a child writes, which has nothing else open and ends with its one line. */

static char line[] = "ready\n";

/* In the child, without return. The end of file says that there will be no word. `helper` is
 * its process, or -1: where the pipe is full, the child does not wait on after its end. */
__attribute__((noreturn)) static void wait_and_write(int socket, int fd, int helper) {
    struct pollfd either[] = {{.fd = STDOUT_FILENO, .events = POLLOUT},
                              {.fd = helper < 0 ? -1 : STDERR_FILENO, .events = POLLIN}};
    char word;
    bool moved = (fd == STDOUT_FILENO || dup2(fd, STDOUT_FILENO) >= 0) &&
                 dup2(socket, STDIN_FILENO) >= 0 &&
                 (helper < 0 || dup2(helper, STDERR_FILENO) >= 0);

    closefrom(STDERR_FILENO + (helper >= 0));
    bool written = moved && recv(STDIN_FILENO, &word, 1, 0) == 1 && poll(either, 2, -1) > 0 &&
                   either[0].revents && write(STDOUT_FILENO, line, sizeof(line) - 1) > 0;
    _exit(!written);
}

static pid_t start_child(int socket, int fd) {
    int helper = (int)syscall(SYS_pidfd_open, getpid(), 0);
    pid_t child = fork();
    int error = errno;

    if (child == 0)
        wait_and_write(socket, fd, helper);
    if (helper >= 0)
        close(helper);
    errno = error;
    return child;
}

int ready_prepare(int fd) {
    int pair[2], ours = -1, error = 0;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    signal(SIGCHLD, SIG_IGN);                             /* nobody waits for it */
    ours = fcntl(pair[0], F_DUPFD_CLOEXEC, CONFINE_FREE); /* the lower are the filter's */
    close(pair[0]);
    pid_t child = ours < 0 ? -1 : start_child(pair[1], fd);
    error = errno;
    close(pair[1]);
    if (child < 0) {
        if (ours >= 0)
            close(ours);
        return -error;
    }
    if (fd > STDERR_FILENO)
        close(fd);
    return ours;
}

int ready_say(int socket) {
    struct iovec vector = {line, 1};
    struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1};

    if (socket < 0)
        return 0;
    int result = sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
    close(socket);
    return result;
}

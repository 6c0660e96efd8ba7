/* SPDX-License-Identifier: MIT */
/* The line is to be written when the sandbox is closed, for not before that is it sure
 * that the helper will serve; and then its filter lets it write to nothing but the log.
 * So a child writes, which has nothing else open and ends with its one line. */
#include "start/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine/confine.h"

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

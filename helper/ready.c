/* The line is to be written when the sandbox is closed, for not before that is it sure
 * that the helper will serve; and then its filter lets it write to nothing but the log.
 * So a child writes, which has nothing else open and ends with its one line. */
#include "ready.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "confine/confine.h"

static char line[] = "ready\n";

/* In the child. The end of file says that there will be no word. */
static void wait_and_write(int socket, int fd) __attribute__((noreturn));

static void wait_and_write(int socket, int fd) {
    char word;
    bool moved =
        (fd == STDOUT_FILENO || dup2(fd, STDOUT_FILENO) >= 0) && dup2(socket, STDIN_FILENO) >= 0;

    closefrom(STDERR_FILENO);
    bool written = moved && recv(STDIN_FILENO, &word, 1, 0) == 1 &&
                   write(STDOUT_FILENO, line, sizeof(line) - 1) > 0;
    _exit(!written);
}

int ready_prepare(int fd) {
    int pair[2], ours = -1, error = 0;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    signal(SIGCHLD, SIG_IGN);                             /* nobody waits for it */
    ours = fcntl(pair[0], F_DUPFD_CLOEXEC, CONFINE_FREE); /* the lower are the filter's */
    close(pair[0]);
    pid_t child = ours < 0 ? -1 : fork();
    if (child == 0) {
        close(ours);
        wait_and_write(pair[1], fd);
    }
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

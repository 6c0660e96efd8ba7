#include "wrapper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Copies what there is, all of it. False at the end of either. */
static bool copy(int from, int to) {
    char bytes[16384];
    ssize_t got = read(from, bytes, sizeof(bytes));

    if (got < 0)
        return errno == EINTR || errno == EAGAIN;
    for (ssize_t done = 0, put; done<got; done += put> 0 ? put : 0) {
        put = write(to, bytes + done, (size_t)(got - done));
        if (put < 0 && errno != EINTR)
            return false;
    }
    return got > 0;
}

/* The end of standard input is not the end: QEMU, too, goes on then, and answers
 * what it was asked before. */
static void pump_run(int peer) {
    struct pollfd polled[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
                               {.fd = peer, .events = POLLIN}};

    for (;;) {
        if (poll(polled, 2, -1) < 0 && errno != EINTR)
            return;
        if (polled[0].revents && !copy(STDIN_FILENO, peer))
            polled[0].fd = -1;
        if (polled[1].revents && !copy(peer, STDOUT_FILENO))
            return;
        polled[0].revents = polled[1].revents = 0;
    }
}

/* In the terminal's session and foreground still, but the keys that end a
 * program are QEMU's: this one ends after it. */
static void pump_become(int peer) {
    static const int ignored[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGTSTP};

    pid_t pid = fork();
    if (pid != 0)
        _exit(pid < 0);
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
    int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, STDERR_FILENO) < 0 || dup2(peer, STDERR_FILENO + 1) < 0 ||
        close_range(STDERR_FILENO + 2, ~0U, 0) < 0)
        _exit(1);
    pump_run(STDERR_FILENO + 1);
    _exit(0);
}

int pump_start(void) {
    int ends[2];

    if (fcntl(STDIN_FILENO, F_GETFD) < 0 || fcntl(STDOUT_FILENO, F_GETFD) < 0)
        die("a monitor on standard input and output, and these are closed");
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        die("cannot make a pair of sockets: %s", strerror(errno));
    ends[0] = fd_raise(ends[0], "a socket");
    ends[1] = fd_raise(ends[1], "a socket");
    pid_t pid = fork();
    if (pid < 0)
        die("cannot fork: %s", strerror(errno));
    if (pid == 0)
        pump_become(ends[1]);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    close(ends[1]);
    return ends[0];
}

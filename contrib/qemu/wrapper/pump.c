/* SPDX-License-Identifier: MIT */
/* Copies between standard input and output and a socket, in a process of its own. */
#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/descriptors.h"
#include "common/say.h"
#include "launch.h"

/* In the pump, the socket's number. */
#define PEER (STDERR_FILENO + 1)

/* After a read or write that failed: whether to try again, when that makes sense. Who
 * started us may have made its end one that does not wait. */
static bool is_passing(int fd, short events) {
    struct pollfd polled = {fd, events, 0};

    if (errno == EAGAIN)
        poll(&polled, 1, -1);
    return errno == EAGAIN || errno == EINTR;
}

/* Until the end of `from`, or nobody takes it. */
static void copy(int from, int to) {
    char bytes[16384];
    ssize_t got, put;

    while ((got = read(from, bytes, sizeof(bytes))) != 0) {
        if (got < 0 && !is_passing(from, POLLIN))
            return;
        for (ssize_t done = 0; done<got; done += put> 0 ? put : 0) {
            put = write(to, bytes + done, (size_t)(got - done));
            if (put < 0 && !is_passing(to, POLLOUT))
                return;
        }
    }
}

static void *copy_input(void *nothing) {
    copy(STDIN_FILENO, PEER);
    return NULL;
}

/* Neither direction waits for the other: who does not read may be waiting to be read from.
 * The end of standard input is not the end: QEMU, too, goes on then, and answers what it was
 * asked before. */
static void pump_run(void) {
    pthread_t input;

    if (pthread_create(&input, NULL, copy_input, NULL) == 0)
        copy(PEER, STDOUT_FILENO);
}

/* In the terminal's session and foreground still, but the keys that end a
 * program are QEMU's: this one ends after it. */
static void pump_become(int peer) {
    static const int ignored[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGTSTP};

    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
    if (fd_nullify(STDERR_FILENO) < 0 || dup2(peer, PEER) < 0 || close_range(PEER + 1, ~0U, 0) < 0)
        _exit(1);
    process_title("pump");
    pump_run();
    _exit(0);
}

int pump_start(void) {
    int ends[2];

    if (fcntl(STDIN_FILENO, F_GETFD) < 0 || fcntl(STDOUT_FILENO, F_GETFD) < 0)
        die("a monitor is on standard input and output, and these are closed");
    socket_pair_make_high(ends, SOCK_STREAM);
    if (launch_orphan(false))
        pump_become(ends[1]);
    close(ends[1]);
    return ends[0];
}

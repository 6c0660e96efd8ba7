/* SPDX-License-Identifier: MIT */
/* Copies between standard input and output and a socket, in a process of its own. */
#include "pump.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/descriptors.h"
#include "common/say.h"
#include "title.h"

/* One direction. Neither waits for the other: who does not read may be waiting
 * to be read from. */
struct flow {
    int from, to; /* from: -1 when it has ended */
    bool to_socket;
    char bytes[16384];
    size_t begin, end; /* what was read and not written yet */
};

static void flow_poll(const struct flow *flow, struct pollfd polled[2]) {
    bool is_empty = flow->begin == flow->end;
    polled[0] = (struct pollfd){is_empty ? flow->from : -1, POLLIN, 0};
    polled[1] = (struct pollfd){is_empty ? -1 : flow->to, POLLOUT, 0};
}

static bool is_over(ssize_t result) {
    return result == 0 || (result < 0 && errno != EINTR && errno != EAGAIN);
}

static void flow_read(struct flow *flow) {
    ssize_t got = read(flow->from, flow->bytes, sizeof(flow->bytes));

    if (is_over(got))
        flow->from = -1;
    flow->begin = 0;
    flow->end = got > 0 ? (size_t)got : 0;
}

/* So much that it does not wait. False where nobody takes it. */
static bool flow_write(struct flow *flow) {
    const char *bytes = flow->bytes + flow->begin;
    size_t size = flow->end - flow->begin;
    ssize_t put;

    if (flow->to_socket)
        put = send(flow->to, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    else
        put = write(flow->to, bytes, size < PIPE_BUF ? size : PIPE_BUF);
    if (put > 0)
        flow->begin += (size_t)put;
    return !is_over(put);
}

/* The end of standard input is not the end: QEMU, too, goes on then, and answers
 * what it was asked before. */
static void pump_run(int peer) {
    static struct flow in, out;
    struct pollfd polled[4];

    in = (struct flow){.from = STDIN_FILENO, .to = peer, .to_socket = true};
    out = (struct flow){.from = peer, .to = STDOUT_FILENO};
    while (out.from >= 0 || out.begin < out.end) {
        flow_poll(&in, polled);
        flow_poll(&out, polled + 2);
        if (poll(polled, 4, -1) < 0)
            continue;
        if (polled[0].revents)
            flow_read(&in);
        if (polled[1].revents && !flow_write(&in))
            in.begin = in.end;
        if (polled[2].revents)
            flow_read(&out);
        if (polled[3].revents && !flow_write(&out))
            return;
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
    process_title("pump");
    pump_run(STDERR_FILENO + 1);
    _exit(0);
}

int pump_start(void) {
    int ends[2];

    if (fcntl(STDIN_FILENO, F_GETFD) < 0 || fcntl(STDOUT_FILENO, F_GETFD) < 0)
        die("a monitor on standard input and output, and these are closed");
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        die("cannot make a pair of sockets: %s", strerror(errno));
    ends[0] = fd_move_high(ends[0], "a socket");
    ends[1] = fd_move_high(ends[1], "a socket");
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

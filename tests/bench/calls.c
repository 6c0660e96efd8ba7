/* SPDX-License-Identifier: MIT */
/* Each system call of an open and a close by itself: a packet at a time over a pair of
 * sockets, both ends of which one process has, so that nobody is woken. */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "floor.h"
#include "groups.h"
#include "series.h"

#define ROUNDS  60
#define SAMPLES 64

/* In the order in which they are made. */
enum call {
    NOTHING, /* what it costs to ask for the time */
    SEND_OPEN,
    WAIT,
    RECEIVE_OPEN,
    SEND_OPENED,
    RECEIVE_OPENED,
    CLOSE_DESCRIPTOR,
    SEND_CLOSE,
    RECEIVE_CLOSE,
    UNLOCK,
    RESTORE,
    CALLS
};

static const char *const names[CALLS] = {
    [NOTHING] = "nothing",
    [SEND_OPEN] = "client: send an Open",
    [WAIT] = "helper: epoll_pwait, with something there",
    [RECEIVE_OPEN] = "helper: recvmsg an Open",
    [SEND_OPENED] = "helper: sendmsg a descriptor",
    [RECEIVE_OPENED] = "client: recvmsg a descriptor",
    [CLOSE_DESCRIPTOR] = "client: close it",
    [SEND_CLOSE] = "client: send a Close",
    [RECEIVE_CLOSE] = "helper: recvmsg a Close",
    [UNLOCK] = "helper: fcntl F_OFD_SETLK, no locks",
    [RESTORE] = "helper: fcntl F_SETFL",
};

struct both_ends {
    int client, helper, epoll, disk;
    char bytes[64];
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
};

static long send_bytes(struct both_ends *ends, size_t length) {
    return send(ends->client, ends->bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static long receive(struct both_ends *ends, int socket, bool descriptors) {
    struct iovec vector = {ends->bytes, sizeof(ends->bytes)};
    struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1};
    if (descriptors) {
        header.msg_control = ends->control.bytes;
        header.msg_controllen = sizeof(ends->control.bytes);
    }
    return recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
}

static int received_descriptor(const struct both_ends *ends) {
    int fd;
    memcpy(&fd, CMSG_DATA(&ends->control.align), sizeof(fd));
    return fd;
}

static long make_call(struct both_ends *ends, enum call call) {
    static const struct flock unlock_all = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    struct epoll_event events[64];
    switch (call) {
    case SEND_OPEN:
        return send_bytes(ends, OPEN_BYTES);
    case WAIT:
        return epoll_pwait(ends->epoll, events, 64, -1, NULL);
    case RECEIVE_OPEN:
    case RECEIVE_CLOSE:
        return receive(ends, ends->helper, false);
    case SEND_OPENED:
        return send_descriptors(ends->helper, ends->bytes, OPENED_BYTES, &ends->disk, 1,
                                MSG_DONTWAIT);
    case RECEIVE_OPENED:
        return receive(ends, ends->client, true);
    case CLOSE_DESCRIPTOR:
        return close(received_descriptor(ends));
    case SEND_CLOSE:
        return send_bytes(ends, CLOSE_BYTES);
    case UNLOCK:
        return fcntl(ends->disk, F_OFD_SETLK, &unlock_all);
    case RESTORE:
        return fcntl(ends->disk, F_SETFL, 0);
    default:
        return 0;
    }
}

static void measure_round(struct both_ends *ends, double samples[CALLS][SAMPLES]) {
    for (size_t i = 0; i < SAMPLES; i++)
        for (enum call call = 0; call < CALLS; call++) {
            double start = now_us();
            if (make_call(ends, call) < 0)
                err(1, "%s", names[call]);
            samples[call][i] = now_us() - start;
        }
}

static void ends_make(struct both_ends *ends) {
    int pair[2];
    struct epoll_event event = {.events = EPOLLIN};
    ends->epoll = epoll_create1(EPOLL_CLOEXEC);
    ends->disk = memfd_create("disk", MFD_CLOEXEC);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ||
        epoll_ctl(ends->epoll, EPOLL_CTL_ADD, pair[1], &event) < 0)
        err(1, "a pair of sockets");
    ends->client = pair[0];
    ends->helper = pair[1];
}

void bench_calls(struct report *report) {
    static double samples[CALLS][SAMPLES];
    struct series series[CALLS] = {0};
    struct both_ends ends = {0};
    ends_make(&ends);
    for (size_t round = 0; round < rounds_of_group(ROUNDS); round++) {
        measure_round(&ends, samples);
        for (size_t call = 0; call < CALLS; call++)
            series_add(&series[call], samples[call], SAMPLES);
    }
    report_group(report, "calls", "Its system calls one by one, microseconds");
    for (size_t call = 0; call < CALLS; call++) {
        snprintf(series[call].name, sizeof(series[call].name), "%s", names[call]);
        report_series(report, &series[call], NULL);
        series_free(&series[call]);
    }
    close(ends.client);
    close(ends.helper);
    close(ends.epoll);
    close(ends.disk);
}

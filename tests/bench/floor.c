/* SPDX-License-Identifier: MIT */
/* The least that a server of descriptors can cost: see floor.h. */
#include "floor.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "series.h"

#define MOST_DESCRIPTORS 253 /* SCM_MAX_FD */

/* What is sent either way: the number of descriptors that are wanted. */
struct message {
    uint64_t wanted, unused;
};

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * MOST_DESCRIPTORS)];
};

/* ------------------------------------------------------------- the server */

ssize_t send_descriptors(int socket, const void *bytes, size_t length, const int *descriptors,
                         size_t count, int flags) {
    static union control control;
    struct iovec vector = {(void *)bytes, length};
    struct msghdr header = {.msg_iov = &vector,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    struct cmsghdr *block = CMSG_FIRSTHDR(&header);
    *block = (struct cmsghdr){CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(block), descriptors, count * sizeof(int));
    return sendmsg(socket, &header, flags | MSG_NOSIGNAL);
}

static void serve(int socket, int fd) {
    int epoll = epoll_create1(EPOLL_CLOEXEC), descriptors[MOST_DESCRIPTORS];
    struct epoll_event event = {.events = EPOLLIN, .data.fd = socket};
    struct message message;

    for (size_t i = 0; i < MOST_DESCRIPTORS; i++)
        descriptors[i] = fd;
    epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &event);
    while (epoll_wait(epoll, &event, 1, -1) == 1 &&
           recv(socket, &message, sizeof(message), 0) == sizeof(message) &&
           send_descriptors(socket, &message, sizeof(message), descriptors, message.wanted, 0) > 0)
        continue;
    _exit(0);
}

void floor_start(struct floor *floor, int fd) {
    int sockets[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
        err(1, "socketpair");
    floor->server = fork();
    if (floor->server < 0)
        err(1, "fork");
    if (floor->server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(sockets[0]);
        serve(sockets[1], fd);
    }
    close(sockets[1]);
    floor->socket = sockets[0];
}

void floor_stop(struct floor *floor) {
    close(floor->socket);
    waitpid(floor->server, NULL, 0);
}

/* ------------------------------------------------------------- the client */

static void ask(struct floor *floor, size_t number) {
    struct message message = {.wanted = number};
    if (send(floor->socket, &message, sizeof(message), MSG_NOSIGNAL) < 0)
        err(1, "bare client: send");
}

static void receive(struct floor *floor, size_t number, int *descriptors) {
    struct message message;
    union control control;
    struct iovec vector = {&message, sizeof(message)};
    struct msghdr header = {.msg_iov = &vector,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = CMSG_SPACE(sizeof(int) * number)};
    if (recvmsg(floor->socket, &header, MSG_CMSG_CLOEXEC) < 0)
        err(1, "bare client: recvmsg");
    struct cmsghdr *block = CMSG_FIRSTHDR(&header);
    if (!block || block->cmsg_len != CMSG_LEN(number * sizeof(int)))
        errx(1, "bare client: not %zu descriptors", number);
    memcpy(descriptors, CMSG_DATA(block), number * sizeof(int));
}

void floor_ask(struct floor *floor, size_t number, int *descriptors) {
    ask(floor, number);
    receive(floor, number, descriptors);
}

void floor_ask_pipelined(struct floor *floor, size_t depth, int *descriptors) {
    for (size_t i = 0; i < depth; i++)
        ask(floor, 1);
    for (size_t i = 0; i < depth; i++)
        receive(floor, 1, &descriptors[i]);
}

/* ------------------------------------------------------------ measurements */

void close_all(const int *descriptors, size_t count) {
    for (size_t i = 0; i < count; i++)
        close(descriptors[i]);
}

/* Descriptors are closed after the round: closing is not what is measured. */
static void measure(struct contender *contender, double *samples, size_t count,
                    void (*exchange)(struct floor *, size_t, int *)) {
    size_t number = contender->number;
    int *descriptors = calloc(count * number, sizeof(int));
    if (!descriptors)
        err(1, "calloc");
    for (size_t i = 0; i < count; i++) {
        double start = now_us();
        exchange(contender->context, number, descriptors + i * number);
        samples[i] = (now_us() - start) / (double)number;
    }
    close_all(descriptors, count * number);
    free(descriptors);
}

void measure_floor(struct contender *contender, double *samples, size_t count) {
    measure(contender, samples, count, floor_ask);
}

void measure_floor_pipelined(struct contender *contender, double *samples, size_t count) {
    measure(contender, samples, count, floor_ask_pipelined);
}

static void chain_path(const struct chain *chain, size_t index, char path[96]) {
    snprintf(path, 96, "%s/image-%zu", chain->directory, index);
}

/* By absolute paths, on what is a disk's file system nearly everywhere. */
void chain_make(struct chain *chain, size_t count) {
    char path[96];
    strcpy(chain->directory, "/var/tmp/fdset-bench-XXXXXX");
    chain->count = count;
    chain->descriptors = calloc(count, sizeof(int));
    if (!chain->descriptors || !mkdtemp(chain->directory))
        err(1, "cannot make a directory for images");
    for (size_t i = 0; i < count; i++) {
        chain_path(chain, i, path);
        chain->descriptors[i] = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (chain->descriptors[i] < 0)
            err(1, "%s", path);
    }
}

void chain_remove(struct chain *chain) {
    char path[96];
    for (size_t i = 0; i < chain->count; i++) {
        chain_path(chain, i, path);
        unlink(path);
        close(chain->descriptors[i]);
    }
    rmdir(chain->directory);
    free(chain->descriptors);
}

void measure_open2(struct contender *contender, double *samples, size_t count) {
    const struct chain *chain = contender->context;
    char(*paths)[96] = calloc(chain->count, sizeof(*paths));
    if (!paths)
        err(1, "calloc");
    for (size_t i = 0; i < chain->count; i++)
        chain_path(chain, i, paths[i]);
    for (size_t i = 0; i < count; i++) {
        double start = now_us();
        for (size_t file = 0; file < chain->count; file++)
            close(open(paths[file], O_RDWR | O_CLOEXEC));
        samples[i] = (now_us() - start) / (double)chain->count;
    }
    free(paths);
}

void measure_dup(struct contender *contender, double *samples, size_t count) {
    const struct chain *chain = contender->context;
    for (size_t i = 0; i < count; i++) {
        double start = now_us();
        for (size_t file = 0; file < chain->count; file++)
            close(fcntl(chain->descriptors[file], F_DUPFD_CLOEXEC, 0));
        samples[i] = (now_us() - start) / (double)chain->count;
    }
}

/* SPDX-License-Identifier: MIT */
/* Reads and writes bytes with descriptors, without waiting. */
#include "stream.h"

#include <errno.h>
#include <fdset/limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "aside.h"

/* The kernel's SCM_MAX_FD. */
#define DESCRIPTORS_MAX FDSET_MAX_DESCRIPTORS

/* --------------------------------------------------------------- receiving */

static void arrival_read(struct arrival *arrival, struct msghdr *message) {
    int fds[DESCRIPTORS_MAX];

    arrival->lost = message->msg_flags & MSG_CTRUNC;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue; /* credentials, where a manager has asked for them */
        size_t size = c->cmsg_len - CMSG_LEN(0); /* no more than there was room for */
        memcpy(fds, CMSG_DATA(c), size);
        size_t count = size / sizeof(*fds), kept = !arrival->lost && count > 0;
        arrival->fd = kept ? fds[0] : -1;
        aside_close(fds + kept, count - kept);
    }
}

ssize_t stream_receive(int socket, char *bytes, size_t size, struct arrival *arrival) {
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))];
    struct iovec vector = {bytes, size};
    struct msghdr message = {
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };
    ssize_t length;

    *arrival = (struct arrival){.fd = -1};
    do
        length = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (length < 0 && errno == EINTR);
    if (length < 0)
        return -errno;
    arrival_read(arrival, &message);
    return length;
}

/* ---------------------------------------------------------------- outgoing */

struct chunk {
    struct chunk *next;
    int fd; /* goes with the first byte; -1: none */
    size_t length, sent;
    char bytes[];
};

static void descriptor_close(int *fd) {
    if (*fd >= 0)
        aside_close(fd, 1);
    *fd = -1;
}

void outgoing_put(struct outgoing *outgoing, struct span bytes, int fd) {
    struct chunk *chunk = bytes.length ? malloc(sizeof(*chunk) + bytes.length) : NULL;

    if (!chunk) {
        outgoing->failed |= bytes.length > 0;
        descriptor_close(&fd);
        return;
    }
    *chunk = (struct chunk){.fd = fd, .length = bytes.length};
    memcpy(chunk->bytes, bytes.bytes, bytes.length);
    if (outgoing->last)
        outgoing->last->next = chunk;
    else
        outgoing->first = chunk;
    outgoing->last = chunk;
    outgoing->length += bytes.length;
}

static ssize_t chunk_send(struct chunk *chunk, int socket) {
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec vector = {chunk->bytes + chunk->sent, chunk->length - chunk->sent};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    ssize_t length;

    if (chunk->fd >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof(control);
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        *c = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(c), &chunk->fd, sizeof(int));
    }
    do
        length = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (length < 0 && errno == EINTR);
    return length < 0 ? -errno : length;
}

static void outgoing_drop_first(struct outgoing *outgoing) {
    struct chunk *first = outgoing->first;

    outgoing->first = first->next;
    if (!outgoing->first)
        outgoing->last = NULL;
    descriptor_close(&first->fd);
    free(first);
}

int outgoing_flush(struct outgoing *outgoing, int socket) {
    while (outgoing->first) {
        struct chunk *chunk = outgoing->first;
        ssize_t length = chunk_send(chunk, socket);
        if (length == -EAGAIN)
            return 0;
        if (length < 0)
            return (int)length;
        descriptor_close(&chunk->fd); /* it went with the first byte */
        chunk->sent += (size_t)length;
        outgoing->length -= (size_t)length;
        if (chunk->sent == chunk->length)
            outgoing_drop_first(outgoing);
    }
    return 0;
}

void outgoing_free(struct outgoing *outgoing) {
    while (outgoing->first)
        outgoing_drop_first(outgoing);
    *outgoing = (struct outgoing){0};
}

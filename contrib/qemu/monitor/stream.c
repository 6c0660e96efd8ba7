/* SPDX-License-Identifier: MIT */
/* Reads and writes bytes with descriptors, without waiting. */
#include "stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "aside.h"

/* ----------------------------------------------------------------- parcels */

void parcel_free(struct parcel *parcel) {
    if (parcel)
        aside_close(parcel->fd, parcel->count);
    free(parcel);
}

struct parcel *parcel_new(int fd) {
    struct parcel *parcel = fd < 0 ? NULL : malloc(sizeof(*parcel) + sizeof(fd));

    if (parcel) {
        parcel->count = 1;
        parcel->fd[0] = fd;
    } else if (fd >= 0) {
        aside_close(&fd, 1);
    }
    return parcel;
}

int parcel_first(struct parcel *parcel) {
    int fd = parcel->fd[0];

    aside_close(parcel->fd + 1, parcel->count - 1);
    free(parcel);
    return fd;
}

/* --------------------------------------------------------------- receiving */

static void arrival_take(struct arrival *arrival, const int *fds, size_t count) {
    struct parcel *parcel = malloc(sizeof(*parcel) + count * sizeof(*fds));

    if (arrival->parcel || !parcel) {
        aside_close(fds, count);
        free(parcel);
        arrival->lost = true;
        return;
    }
    parcel->count = count;
    memcpy(parcel->fd, fds, count * sizeof(*fds));
    arrival->parcel = parcel;
}

static void arrival_read(struct arrival *arrival, struct msghdr *message) {
    int fds[PARCEL_MAX];

    arrival->lost = message->msg_flags & MSG_CTRUNC;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(*fds);
        if (count > PARCEL_MAX)
            count = PARCEL_MAX;
        memcpy(fds, CMSG_DATA(c), count * sizeof(*fds));
        if (count > 0)
            arrival_take(arrival, fds, count);
    }
    if (arrival->lost) {
        parcel_free(arrival->parcel);
        arrival->parcel = NULL;
    }
}

ssize_t stream_receive(int socket, char *bytes, size_t size, struct arrival *arrival) {
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(PARCEL_MAX * sizeof(int))];
    struct iovec vector = {bytes, size};
    struct msghdr message = {
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };
    ssize_t length;

    *arrival = (struct arrival){0};
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
    struct parcel *parcel;
    size_t length, sent;
    char bytes[];
};

void outgoing_put(struct outgoing *outgoing, struct span bytes, struct parcel *parcel) {
    struct chunk *chunk = bytes.length ? malloc(sizeof(*chunk) + bytes.length) : NULL;

    if (!chunk) {
        outgoing->failed |= bytes.length > 0;
        parcel_free(parcel);
        return;
    }
    *chunk = (struct chunk){.parcel = parcel, .length = bytes.length};
    memcpy(chunk->bytes, bytes.bytes, bytes.length);
    if (outgoing->last)
        outgoing->last->next = chunk;
    else
        outgoing->first = chunk;
    outgoing->last = chunk;
    outgoing->length += bytes.length;
}

static ssize_t chunk_send(struct chunk *chunk, int socket) {
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(PARCEL_MAX * sizeof(int))] = {0};
    struct iovec vector = {chunk->bytes + chunk->sent, chunk->length - chunk->sent};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    ssize_t length;

    if (chunk->parcel) {
        size_t bytes = chunk->parcel->count * sizeof(int);
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(bytes);
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        *c = (struct cmsghdr){CMSG_LEN(bytes), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(c), chunk->parcel->fd, bytes);
    }
    do
        length = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (length < 0 && errno == EINTR);
    return length < 0 ? -errno : length;
}

static void chunk_free(struct chunk *chunk) {
    parcel_free(chunk->parcel);
    free(chunk);
}

static void outgoing_drop_first(struct outgoing *outgoing) {
    struct chunk *first = outgoing->first;

    outgoing->first = first->next;
    if (!outgoing->first)
        outgoing->last = NULL;
    chunk_free(first);
}

int outgoing_flush(struct outgoing *outgoing, int socket) {
    while (outgoing->first) {
        struct chunk *chunk = outgoing->first;
        ssize_t length = chunk_send(chunk, socket);
        if (length == -EAGAIN)
            return 0;
        if (length < 0)
            return (int)length;
        parcel_free(chunk->parcel); /* they went with the first byte */
        chunk->parcel = NULL;
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

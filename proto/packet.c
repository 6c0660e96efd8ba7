/* SPDX-License-Identifier: MIT */
/* Packets on the wire: how they are packed, sent, received and unpacked. */
#include "packet.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "uninitialized.h"

/* Calls are made by syscall(2). The functions of the C library are cancellation
 * points, which costs two atomic operations a call in a program with threads, and
 * in libfdset a thread that ended there would take what others wait for with it. */

/* Room for the kernel's largest SCM_RIGHTS block, aligned as CMSG_FIRSTHDR needs it. */
union control {
    struct cmsghdr align;
    uint8_t bytes[CMSG_SPACE(sizeof(int) * FDSET_MAX_DESCRIPTORS)];
};

static void *arena_alloc(void *data, size_t size) {
    return packet_arena_take(data, size);
}

static void arena_free(void *data, void *pointer) {
    /* The next packet_decode() takes everything back at once. */
}

void packet_arena_init(struct packet_arena *arena) {
    arena->allocator = (ProtobufCAllocator){arena_alloc, arena_free, arena};
    packet_arena_reset(arena);
}

ProtobufCMessage *packet_decode(const ProtobufCMessageDescriptor *type, const uint8_t *bytes,
                                size_t length, struct packet_arena *arena) {
    packet_arena_reset(arena);
    return protobuf_c_message_unpack(type, &arena->allocator, length, bytes);
}

int packet_encode(const ProtobufCMessage *message, uint8_t *bytes) {
    if (protobuf_c_message_get_packed_size(message) > FDSET_MAX_PACKET_BYTES)
        return -E2BIG;
    return (int)protobuf_c_message_pack(message, bytes);
}

int packet_descriptors_take(struct packet_descriptors *descriptors, size_t index) {
    assert(index < descriptors->count);
    int fd = descriptors->fd[index];
    descriptors->fd[index] = -1;
    return fd;
}

void packet_descriptors_close(struct packet_descriptors *descriptors) {
    for (size_t i = 0; i < descriptors->count; i++) {
        int fd = packet_descriptors_take(descriptors, i);
        if (fd >= 0)
            syscall(SYS_close, fd);
    }
    descriptors->count = 0;
}

/* A sender may spread its descriptors over several SCM_RIGHTS blocks, and other
 * kinds of control message may stand between them. */
static void collect(struct msghdr *header, struct packet_descriptors *descriptors) {
    struct cmsghdr *block;
    for (block = CMSG_FIRSTHDR(header); block; block = CMSG_NXTHDR(header, block)) {
        if (block->cmsg_level != SOL_SOCKET || block->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (block->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        assert(descriptors->count + count <= FDSET_MAX_DESCRIPTORS);
        memcpy(descriptors->fd + descriptors->count, CMSG_DATA(block), count * sizeof(int));
        descriptors->count += count;
    }
}

int packet_receive(int socket, uint8_t *bytes, struct packet_descriptors *descriptors,
                   int recvmsg_flags, struct packet_info *info) {
    UNINITIALIZED union control control; /* by the kernel, as far as it is read */
    struct iovec vector = {bytes, FDSET_MAX_PACKET_BYTES};
    struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1};
    ssize_t length;

    if (descriptors)
        descriptors->count = 0;
    do {
        if (descriptors) {
            header.msg_control = control.bytes;
            header.msg_controllen = sizeof(control.bytes);
        }
        length = syscall(SYS_recvmsg, socket, &header, recvmsg_flags | MSG_CMSG_CLOEXEC);
    } while (length < 0 && errno == EINTR);
    if (length < 0)
        return -errno;

    if (descriptors)
        collect(&header, descriptors);
    info->length = (size_t)length;
    info->truncated = header.msg_flags & (MSG_TRUNC | MSG_CTRUNC);
    /* MSG_EOR is no help: Linux sets it on neither. Only what rode along can
     * tell an empty packet from the end of file. */
    info->hangup = length == 0 && !info->truncated && !(descriptors && descriptors->count);
    return 0;
}

int packet_look(int socket, uint8_t *bytes, int recvmsg_flags, struct packet_info *info) {
    struct iovec vector = {bytes, FDSET_MAX_PACKET_BYTES};
    struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1};
    ssize_t length;

    do {
        header.msg_flags = 0;
        length = syscall(SYS_recvmsg, socket, &header, recvmsg_flags | MSG_PEEK | MSG_CMSG_CLOEXEC);
    } while (length < 0 && errno == EINTR);
    if (length < 0)
        return -errno;
    info->length = (size_t)length;
    info->truncated = header.msg_flags & MSG_CTRUNC;
    info->hangup = length == 0 && !info->truncated;
    return 0;
}

int packet_send(int socket, const uint8_t *bytes, size_t length, const int *descriptors,
                size_t count, int sendmsg_flags) {
    UNINITIALIZED union control control; /* as far as it is sent, here */
    struct iovec vector = {(void *)bytes, length};
    struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1};
    ssize_t sent;

    assert(count <= FDSET_MAX_DESCRIPTORS);
    if (count > 0) {
        header.msg_control = control.bytes;
        header.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        /* The padding behind an odd number of descriptors goes to the kernel too. */
        memset(control.bytes, 0, header.msg_controllen);
        struct cmsghdr *block = CMSG_FIRSTHDR(&header);
        block->cmsg_level = SOL_SOCKET;
        block->cmsg_type = SCM_RIGHTS;
        block->cmsg_len = CMSG_LEN(sizeof(int) * count);
        memcpy(CMSG_DATA(block), descriptors, sizeof(int) * count);
    }
    do {
        sent = syscall(SYS_sendmsg, socket, &header, sendmsg_flags | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

int packet_send_bytes(int socket, const uint8_t *bytes, size_t length, int send_flags) {
    ssize_t sent;
    do {
        sent = syscall(SYS_sendto, socket, bytes, length, send_flags | MSG_NOSIGNAL, NULL, 0);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

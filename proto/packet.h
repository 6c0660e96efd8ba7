/* SPDX-License-Identifier: MIT */
/* One protobuf message and its descriptors as one SOCK_SEQPACKET packet. Both
 * the helper and libfdset send and receive through here and nowhere else.
 *
 * Nothing here allocates: messages are packed into the caller's buffer, and
 * unpacked into the caller's arena. Thread-safe as far as each thread has its
 * own buffers; the kernel keeps packets whole when several threads send. None
 * of it is a cancellation point. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "fdset/limits.h"

/* Room for one decoded message. The largest that means anything is an AddFds of
 * 253 sets with names and labels, of which a full packet takes about 100 KiB.
 * Pages that no message has needed are not there. */
#define PACKET_ARENA_BYTES 131072

/* Bump allocator with a fixed end for protobuf-c, which otherwise turns 64 KiB
 * of unknown fields into 2.9 MB. A packet that would not fit fails to decode.
 * Freeing does nothing; unpacking the next message starts from zero. */
struct packet_arena {
    ProtobufCAllocator allocator;
    size_t used;
    _Alignas(16) uint8_t memory[PACKET_ARENA_BYTES];
};

/* Must be called once before the arena's first use. The arena must not move. */
void packet_arena_init(struct packet_arena *arena);

/* For decoders: gives everything back, and takes `size` bytes, aligned to 16; NULL where it is
 * full. */
static inline void packet_arena_reset(struct packet_arena *arena) {
    arena->used = 0;
}

static inline void *packet_arena_take(struct packet_arena *arena, size_t size) {
    size_t rounded = (size + 15) & ~(size_t)15;

    if (rounded < size || rounded > sizeof(arena->memory) - arena->used)
        return NULL;
    void *result = arena->memory + arena->used;
    arena->used += rounded;
    return result;
}

/* Decodes `length` bytes. Returns the message, which lives in the arena until
 * its next use, or NULL where the bytes are no such message or do not fit. */
ProtobufCMessage *packet_decode(const ProtobufCMessageDescriptor *type, const uint8_t *bytes,
                                size_t length, struct packet_arena *arena);

/* Encodes into `bytes`, which has room for FDSET_MAX_PACKET_BYTES. Returns the length, or
 * -E2BIG. */
int packet_encode(const ProtobufCMessage *message, uint8_t *bytes);

/* Descriptors that came with a packet. The receiver owns every one that is not
 * -1; packet_descriptors_close() closes those that nobody took. */
struct packet_descriptors {
    size_t count;
    int fd[FDSET_MAX_DESCRIPTORS];
};

/* Hands the descriptor at `index` to the caller, who owns it from then on. */
int packet_descriptors_take(struct packet_descriptors *descriptors, size_t index);

/* Closes all that were not taken. May block where a file system does. */
void packet_descriptors_close(struct packet_descriptors *descriptors);

/* What packet_receive() saw besides the bytes. */
struct packet_info {
    size_t length;  /* bytes, 0 for an empty packet */
    bool hangup;    /* end of file: no packet, the peer has gone */
    bool truncated; /* the kernel cut off bytes or descriptors */
};

/* Receives one packet into `bytes` (room for FDSET_MAX_PACKET_BYTES) and
 * `descriptors`. All descriptors come close-on-exec; with MSG_DONTWAIT in
 * `recvmsg_flags` it does not wait.
 *
 * A zero-length packet with descriptors is told apart from the end of file;
 * one without cannot be, the kernel says the same for both, and counts as one.
 * Where descriptors is NULL, the kernel installs none, drops what was sent and
 * info->truncated is set.
 *
 * Returns 0 (look at info), or -errno: -EAGAIN, -ECONNRESET, ... EINTR is
 * retried. On failure no descriptor was received. */
int packet_receive(int socket, uint8_t *bytes, struct packet_descriptors *descriptors,
                   int recvmsg_flags, struct packet_info *info);

/* Looks at the packet that is next, and leaves it there: its bytes into `bytes`, as above, and
 * whether there are descriptors with it, which are not received: info->truncated, which the
 * length alone does not set here. Returns as packet_receive(). */
int packet_look(int socket, uint8_t *bytes, int recvmsg_flags, struct packet_info *info);

/* Sends one packet with `count` descriptors, which it borrows. Never raises
 * SIGPIPE. Returns 0 or -errno: -EAGAIN where the socket is full and
 * MSG_DONTWAIT was in `sendmsg_flags`, -EPIPE or -ECONNRESET where the peer
 * has gone, -ETOOMANYREFS where this user has too many descriptors in flight.
 * EINTR is retried. A packet is sent whole or not at all. */
int packet_send(int socket, const uint8_t *bytes, size_t length, const int *descriptors,
                size_t count, int sendmsg_flags);

/* The same without descriptors, for a little less: sendto(2) has no headers that the
 * kernel must fetch. Not for the helper, whose sandbox does not know the call. */
int packet_send_bytes(int socket, const uint8_t *bytes, size_t length, int send_flags);

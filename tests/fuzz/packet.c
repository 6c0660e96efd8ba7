/* SPDX-License-Identifier: MIT */
/* Packets: any bytes decode within the arena or not at all, what was decoded
 * encodes to what decodes to the same, the shortcut makes of everything what
 * protobuf-c makes of it, and however descriptors are sent along, as many arrive
 * as the packet says, and none is left. */
#include "packet.h"
#include "fuzz.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fdset.pb-c.h"
#include "shortcut/shortcut.h"

static struct packet_arena arena, other_arena;
static uint8_t first[FDSET_MAX_PACKET_BYTES], second[FDSET_MAX_PACKET_BYTES];
static int pair[2], files[2];

/* What decodes has one form, and that decodes to itself. */
static void check_decoding(const ProtobufCMessageDescriptor *type, const uint8_t *bytes,
                           size_t size) {
    ProtobufCMessage *message = packet_decode(type, bytes, size, &arena);

    CHECK(arena.used <= sizeof(arena.memory));
    if (!message)
        return;
    CHECK((uint8_t *)message >= arena.memory &&
          (uint8_t *)message < arena.memory + sizeof(arena.memory));
    CHECK(protobuf_c_message_check(message));
    int length = packet_encode(message, first);
    if (length < 0)
        return;
    message = packet_decode(type, first, (size_t)length, &arena);
    /* protobuf-c takes a field number 0 spelt in two bytes, and not as it then
     * writes it. */
    if (!message)
        return;
    CHECK(packet_encode(message, second) == length);
    CHECK(memcmp(first, second, (size_t)length) == 0);
}

/* Both readings of the same bytes say the same; and what the shortcut writes (of
 * fields that nobody knows it writes none) is as protobuf-c would write it. */
static void check_same(const ProtobufCMessage *by_library, const ProtobufCMessage *by_hand,
                       bool is_request) {
    CHECK(!by_library == !by_hand);
    if (!by_library)
        return;
    int length = packet_encode(by_library, first);
    CHECK(packet_encode(by_hand, second) == length);
    CHECK(length < 0 || memcmp(first, second, (size_t)length) == 0);

    size_t size;
    const uint8_t *at = is_request
                            ? request_encode((const Fdset__V1__Request *)by_hand, first, &size)
                            : reply_encode((const Fdset__V1__Reply *)by_hand, first, &size);
    if (!at)
        return;
    by_library = packet_decode(by_hand->descriptor, at, size, &arena);
    if (!by_library)
        return; /* as in check_decoding() */
    CHECK(packet_encode(by_library, second) == (int)size);
    CHECK(memcmp(at, second, size) == 0);
}

static void check_shortcut(const uint8_t *bytes, size_t size) {
    check_same(packet_decode(&fdset__v1__request__descriptor, bytes, size, &arena),
               (ProtobufCMessage *)request_decode(bytes, size, &other_arena), true);
    check_same(packet_decode(&fdset__v1__reply__descriptor, bytes, size, &arena),
               (ProtobufCMessage *)reply_decode(bytes, size, &other_arena), false);
}

/* ------------------------------------------------------------- descriptors */

#define BLOCKS 4

/* Several SCM_RIGHTS blocks, and credentials between them if wanted. Returns
 * how many descriptors were sent, or -1 where the kernel would not. */
static int send_blocks(const uint8_t *bytes, size_t size, const uint8_t *counts, bool credentials) {
    static union {
        struct cmsghdr align;
        uint8_t bytes[BLOCKS * CMSG_SPACE(256 * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
    } control;
    struct iovec vector = {(void *)bytes, size};
    struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.bytes};
    struct ucred own = {getpid(), geteuid(), getegid()};
    int total = 0;

    memset(&control, 0, sizeof(control));
    header.msg_controllen = sizeof(control.bytes);
    struct cmsghdr *block = CMSG_FIRSTHDR(&header);
    for (int i = 0; i < BLOCKS; i++) {
        int *number = (int *)(void *)CMSG_DATA(block);
        if (counts[i] == 0)
            continue;
        block->cmsg_level = SOL_SOCKET;
        block->cmsg_type = SCM_RIGHTS;
        block->cmsg_len = CMSG_LEN(counts[i] * sizeof(int));
        for (int j = 0; j < counts[i]; j++)
            number[j] = files[j % 2];
        total += counts[i];
        block = CMSG_NXTHDR(&header, block);
    }
    if (credentials) {
        block->cmsg_level = SOL_SOCKET;
        block->cmsg_type = SCM_CREDENTIALS;
        block->cmsg_len = CMSG_LEN(sizeof(own));
        memcpy(CMSG_DATA(block), &own, sizeof(own));
        block = CMSG_NXTHDR(&header, block);
    }
    header.msg_controllen = (size_t)((uint8_t *)block - control.bytes);
    if (header.msg_controllen == 0)
        header.msg_control = NULL;
    return sendmsg(pair[0], &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -1 : total;
}

static void check_carrying(struct input *input) {
    static struct packet_descriptors descriptors;
    struct packet_info info;
    uint8_t counts[BLOCKS];

    uint8_t how = input_byte(input);
    for (int i = 0; i < BLOCKS; i++)
        counts[i] = input_byte(input);
    int on = how & 4 ? 1 : 0;
    setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
    int sent = send_blocks(input->data, input->left, counts, how & 1);
    if (sent < 0)
        return;
    bool wanted = !(how & 2);
    CHECK(packet_receive(pair[1], first, wanted ? &descriptors : NULL, MSG_DONTWAIT, &info) == 0);
    CHECK(info.length ==
          (input->left < FDSET_MAX_PACKET_BYTES ? input->left : FDSET_MAX_PACKET_BYTES));
    CHECK(memcmp(first, input->data, info.length) == 0);
    CHECK(info.hangup == (input->left == 0 && sent == 0 && !info.truncated));
    if (!wanted) {
        CHECK(sent == 0 || info.truncated);
        return;
    }
    CHECK((int)descriptors.count == sent || info.truncated);
    for (size_t i = 0; i < descriptors.count; i += 3)
        close(packet_descriptors_take(&descriptors, i));
    packet_descriptors_close(&descriptors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};

    if (!arena.allocator.alloc) {
        packet_arena_init(&arena);
        packet_arena_init(&other_arena);
        CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
        CHECK(pipe(files) == 0);
    }
    int before = fuzz_count_descriptors();
    switch (input_byte(&input) % 3) {
    case 0:
        check_decoding(&fdset__v1__request__descriptor, input.data, input.left);
        check_shortcut(input.data, input.left);
        break;
    case 1:
        check_decoding(&fdset__v1__reply__descriptor, input.data, input.left);
        check_shortcut(input.data, input.left);
        break;
    case 2:
        check_carrying(&input);
        break;
    }
    CHECK(fuzz_count_descriptors() == before);
    return 0;
}

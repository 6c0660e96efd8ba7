/* SPDX-License-Identifier: MIT */
/* proto/packet.*: what arrives is what was sent, or it is refused; nothing is lost on the way. */
#include "packet.h"
#include "fdset.pb-c.h"
#include "oracle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct packet_arena arena;
static struct packet_descriptors received;
static struct packet_info info;
static uint8_t bytes[2 * FDSET_MAX_PACKET_BYTES];

static Fdset__V1__Request *decode(size_t length) {
    packet_arena_init(&arena);
    return (Fdset__V1__Request *)packet_decode(&fdset__v1__request__descriptor, bytes, length,
                                               &arena);
}

static void pair(int sockets[2]) {
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
}

static void close_pair(int sockets[2]) {
    close(sockets[0]);
    close(sockets[1]);
}

static int open_null(void) {
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

/* ------------------------------------------------------- encode, decode */

/* A Request with a Hello whose name makes it exactly `length` bytes long when packed. */
static int encode_hello_of(size_t length) {
    static char name[2 * FDSET_MAX_PACKET_BYTES];
    Fdset__V1__Hello hello = FDSET__V1__HELLO__INIT;
    Fdset__V1__Request request = FDSET__V1__REQUEST__INIT;
    request.body_case = FDSET__V1__REQUEST__BODY_HELLO;
    request.hello = &hello;
    memset(name, 'a', sizeof(name));
    hello.name = name;
    name[length] = 0;
    while (fdset__v1__request__get_packed_size(&request) > length)
        name[strlen(name) - 1] = 0;
    return packet_encode(&request.base, bytes);
}

static void test_encode_then_decode(void **state) {
    char path[] = "/dev/fdset/7";
    Fdset__V1__Open open = FDSET__V1__OPEN__INIT;
    Fdset__V1__Request request = FDSET__V1__REQUEST__INIT;
    open.path = path;
    open.flags = O_RDWR | O_DIRECT;
    request.serial = 4294967295u;
    request.body_case = FDSET__V1__REQUEST__BODY_OPEN;
    request.open = &open;
    int length = packet_encode(&request.base, bytes);
    assert_true(length > 0);

    Fdset__V1__Request *decoded = decode((size_t)length);
    assert_non_null(decoded);
    assert_int_equal(decoded->serial, 4294967295u);
    assert_int_equal(decoded->body_case, FDSET__V1__REQUEST__BODY_OPEN);
    assert_string_equal(decoded->open->path, "/dev/fdset/7");
    assert_int_equal(decoded->open->flags, O_RDWR | O_DIRECT);
}

static void test_encode_up_to_the_limit(void **state) {
    memset(bytes, 0xee, sizeof(bytes));
    assert_int_equal(encode_hello_of(FDSET_MAX_PACKET_BYTES), FDSET_MAX_PACKET_BYTES);
    assert_int_equal(bytes[FDSET_MAX_PACKET_BYTES], 0xee);
    assert_non_null(decode(FDSET_MAX_PACKET_BYTES));
}

static void test_encode_beyond_the_limit(void **state) {
    memset(bytes, 0xee, sizeof(bytes));
    assert_int_equal(encode_hello_of(FDSET_MAX_PACKET_BYTES + 1), -E2BIG);
    assert_int_equal(bytes[0], 0xee);
}

static void test_decode_garbage(void **state) {
    memset(bytes, 0xff, 100);
    assert_null(decode(100));
}

static void test_decode_every_cut(void **state) {
    int length = encode_hello_of(60);
    /* Byte 1 announces the Hello's length, so from there on every cut shows. */
    for (int cut = 1; cut < length; cut++)
        assert_null(decode((size_t)cut));
    assert_non_null(decode((size_t)length));
}

static void test_decode_nothing(void **state) {
    Fdset__V1__Request *request = decode(0);
    assert_non_null(request);
    assert_int_equal(request->body_case, FDSET__V1__REQUEST__BODY__NOT_SET);
}

/* Field 15, varint, value 0: two bytes that cost protobuf-c a record each. */
static void test_decode_unknown_field_bomb(void **state) {
    for (size_t i = 0; i < FDSET_MAX_PACKET_BYTES; i += 2) {
        bytes[i] = 15 << 3;
        bytes[i + 1] = 0;
    }
    assert_null(decode(FDSET_MAX_PACKET_BYTES));
    assert_true(arena.used <= PACKET_ARENA_BYTES);

    int length = encode_hello_of(20);
    assert_non_null(decode((size_t)length));
}

/* Empty messages in a repeated field: two bytes each on the wire, a struct each in memory. */
static void test_decode_repeated_bomb(void **state) {
    size_t inner = 12000, at = 0;
    bytes[at++] = 4 << 3 | 2; /* OpenMany */
    bytes[at++] = (uint8_t)(inner & 0x7f) | 0x80;
    bytes[at++] = (uint8_t)(inner >> 7);
    for (size_t end = at + inner; at < end; at += 2) {
        bytes[at] = 1 << 3 | 2; /* opens */
        bytes[at + 1] = 0;
    }
    assert_null(decode(at));
    assert_true(arena.used <= PACKET_ARENA_BYTES);
}

/* The header promises that the largest AddFds that means anything fits. */
static void test_decode_largest_add(void **state) {
    static Fdset__V1__NewMember members[FDSET_MAX_DESCRIPTORS];
    static Fdset__V1__NewMember *pointers[FDSET_MAX_DESCRIPTORS];
    char label[] = "forty bytes of label, as libvirt has them";
    for (size_t i = 0; i < FDSET_MAX_DESCRIPTORS; i++) {
        fdset__v1__new_member__init(&members[i]);
        members[i].label_case = FDSET__V1__NEW_MEMBER__LABEL_OPAQUE;
        members[i].opaque = label;
        members[i].sharing = FDSET__V1__SHARING__SHARING_SHARED;
        members[i].keep_locks = true;
        pointers[i] = &members[i];
    }
    Fdset__V1__NewMembers set = FDSET__V1__NEW_MEMBERS__INIT;
    Fdset__V1__NewMembers *sets[] = {&set};
    Fdset__V1__AddFds add = FDSET__V1__ADD_FDS__INIT;
    Fdset__V1__Request request = FDSET__V1__REQUEST__INIT;
    set.members = pointers;
    set.n_members = FDSET_MAX_DESCRIPTORS;
    add.sets = sets;
    add.n_sets = 1;
    request.body_case = FDSET__V1__REQUEST__BODY_ADD_FDS;
    request.add_fds = &add;

    int length = packet_encode(&request.base, bytes);
    assert_true(length > 0);
    Fdset__V1__Request *decoded = decode((size_t)length);
    assert_non_null(decoded);
    assert_int_equal(decoded->add_fds->sets[0]->n_members, FDSET_MAX_DESCRIPTORS);
}

/* ------------------------------------------------------- send, receive */

static void test_descriptors_arrive_in_order(void **state) {
    int sockets[2], pipes[2];
    struct stat sent, got;
    pair(sockets);
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(packet_send(sockets[0], (const uint8_t *)"hi", 2, pipes, 2, 0), 0);
    assert_int_equal(packet_receive(sockets[1], bytes, &received, 0, &info), 0);

    assert_int_equal(info.length, 2);
    assert_false(info.hangup);
    assert_false(info.truncated);
    assert_memory_equal(bytes, "hi", 2);
    assert_int_equal(received.count, 2);
    for (size_t i = 0; i < 2; i++) {
        fstat(pipes[i], &sent);
        fstat(received.fd[i], &got);
        assert_int_equal(sent.st_ino, got.st_ino);
        assert_int_equal(fcntl(pipes[i], F_GETFL), fcntl(received.fd[i], F_GETFL));
        assert_int_equal(fcntl(received.fd[i], F_GETFD), FD_CLOEXEC);
    }
    packet_descriptors_close(&received);
    close_pair(pipes);
    close_pair(sockets);
}

static void test_take_moves_ownership(void **state) {
    int null = open_null();
    received.count = 2;
    received.fd[0] = null;
    received.fd[1] = open_null();
    assert_int_equal(packet_descriptors_take(&received, 0), null);
    packet_descriptors_close(&received);
    assert_int_equal(received.count, 0);
    assert_true(fcntl(null, F_GETFD) >= 0);
    close(null);
}

static void test_most_descriptors(void **state) {
    int sockets[2], many[FDSET_MAX_DESCRIPTORS], null = open_null();
    pair(sockets);
    for (size_t i = 0; i < FDSET_MAX_DESCRIPTORS; i++)
        many[i] = null;
    assert_int_equal(
        packet_send(sockets[0], (const uint8_t *)"x", 1, many, FDSET_MAX_DESCRIPTORS, 0), 0);
    assert_int_equal(packet_receive(sockets[1], bytes, &received, 0, &info), 0);
    assert_int_equal(received.count, FDSET_MAX_DESCRIPTORS);
    assert_false(info.truncated);
    packet_descriptors_close(&received);
    close(null);
    close_pair(sockets);
}

/* A sender that is not ours: two SCM_RIGHTS blocks in one packet. */
static void send_two_blocks(int socket, int fd) {
    union {
        struct cmsghdr align;
        uint8_t bytes[2 * CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec vector = {bytes, 1};
    struct msghdr header = {.msg_iov = &vector,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *block = CMSG_FIRSTHDR(&header);
    for (int i = 0; i < 2; i++, block = CMSG_NXTHDR(&header, block)) {
        *block = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(block), &fd, sizeof(fd));
    }
    assert_int_equal(sendmsg(socket, &header, 0), 1);
}

static void test_several_control_blocks(void **state) {
    int sockets[2], null = open_null(), yes = 1;
    pair(sockets);
    /* The receiver's credentials block stands before the descriptors. */
    setsockopt(sockets[1], SOL_SOCKET, SO_PASSCRED, &yes, sizeof(yes));
    send_two_blocks(sockets[0], null);
    assert_int_equal(packet_receive(sockets[1], bytes, &received, 0, &info), 0);
    assert_int_equal(received.count, 2);
    assert_false(info.truncated);
    packet_descriptors_close(&received);
    close(null);
    close_pair(sockets);
}

static void test_no_descriptors_wanted(void **state) {
    int sockets[2], null = open_null();
    pair(sockets);
    int before = oracle_count();
    assert_int_equal(packet_send(sockets[0], (const uint8_t *)"x", 1, &null, 1, 0), 0);
    assert_int_equal(packet_receive(sockets[1], bytes, NULL, 0, &info), 0);
    assert_true(info.truncated);
    assert_int_equal(info.length, 1);
    assert_int_equal(oracle_count(), before);
    close(null);
    close_pair(sockets);
}

static void test_too_few_numbers_free(void **state) {
    struct rlimit normal, low;
    int sockets[2], many[5], null = open_null();
    pair(sockets);
    for (size_t i = 0; i < 5; i++)
        many[i] = null;
    assert_int_equal(packet_send(sockets[0], (const uint8_t *)"x", 1, many, 5, 0), 0);

    int lowest_free = dup(null);
    close(lowest_free);
    getrlimit(RLIMIT_NOFILE, &normal);
    low = normal;
    low.rlim_cur = (rlim_t)lowest_free + 2;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    int result = packet_receive(sockets[1], bytes, &received, 0, &info);
    setrlimit(RLIMIT_NOFILE, &normal);

    assert_int_equal(result, 0);
    assert_true(info.truncated);
    assert_int_equal(received.count, 2);
    packet_descriptors_close(&received);
    close(null);
    close_pair(sockets);
}

static void test_empty_packet_with_descriptor(void **state) {
    int sockets[2], null = open_null();
    pair(sockets);
    assert_int_equal(packet_send(sockets[0], NULL, 0, &null, 1, 0), 0);
    assert_int_equal(packet_receive(sockets[1], bytes, &received, 0, &info), 0);
    assert_false(info.hangup);
    assert_int_equal(info.length, 0);
    assert_int_equal(received.count, 1);
    packet_descriptors_close(&received);

    assert_int_equal(packet_send(sockets[0], NULL, 0, &null, 1, 0), 0);
    assert_int_equal(packet_receive(sockets[1], bytes, NULL, 0, &info), 0);
    assert_false(info.hangup);
    assert_true(info.truncated);
    close(null);
    close_pair(sockets);
}

static void test_hangup(void **state) {
    int sockets[2];
    pair(sockets);
    close(sockets[0]);
    assert_int_equal(packet_receive(sockets[1], bytes, &received, 0, &info), 0);
    assert_true(info.hangup);
    assert_int_equal(received.count, 0);
    close(sockets[1]);
}

static void test_oversized_packet(void **state) {
    int sockets[2], null = open_null();
    pair(sockets);
    assert_int_equal(packet_send(sockets[0], bytes, FDSET_MAX_PACKET_BYTES + 1, &null, 1, 0), 0);
    assert_int_equal(packet_receive(sockets[1], bytes, &received, 0, &info), 0);
    assert_true(info.truncated);
    assert_false(info.hangup);
    assert_int_equal(info.length, FDSET_MAX_PACKET_BYTES);
    assert_int_equal(received.count, 1);
    packet_descriptors_close(&received);
    close(null);
    close_pair(sockets);
}

static void test_nothing_there(void **state) {
    int sockets[2];
    pair(sockets);
    assert_int_equal(packet_receive(sockets[1], bytes, &received, MSG_DONTWAIT, &info), -EAGAIN);
    assert_int_equal(received.count, 0);
    close_pair(sockets);
}

static void test_send_to_a_full_socket(void **state) {
    int sockets[2], result;
    pair(sockets);
    do
        result = packet_send(sockets[0], bytes, 1000, NULL, 0, MSG_DONTWAIT);
    while (result == 0);
    assert_int_equal(result, -EAGAIN);
    close_pair(sockets);
}

/* SIGPIPE would end the test program here. */
static void test_send_to_nobody(void **state) {
    int sockets[2], null = open_null();
    pair(sockets);
    close(sockets[1]);
    assert_int_equal(packet_send(sockets[0], bytes, 1, &null, 1, 0), -EPIPE);
    close(null);
    close(sockets[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        oracle_test(test_encode_then_decode),
        oracle_test(test_encode_up_to_the_limit),
        oracle_test(test_encode_beyond_the_limit),
        oracle_test(test_decode_garbage),
        oracle_test(test_decode_every_cut),
        oracle_test(test_decode_nothing),
        oracle_test(test_decode_unknown_field_bomb),
        oracle_test(test_decode_repeated_bomb),
        oracle_test(test_decode_largest_add),
        oracle_test(test_descriptors_arrive_in_order),
        oracle_test(test_take_moves_ownership),
        oracle_test(test_most_descriptors),
        oracle_test(test_several_control_blocks),
        oracle_test(test_no_descriptors_wanted),
        oracle_test(test_too_few_numbers_free),
        oracle_test(test_empty_packet_with_descriptor),
        oracle_test(test_hangup),
        oracle_test(test_oversized_packet),
        oracle_test(test_nothing_there),
        oracle_test(test_send_to_a_full_socket),
        oracle_test(test_send_to_nobody),
    };
    /* Valgrind keeps RLIMIT_NOFILE for itself and never tells the kernel. */
    if (getenv("FDSET_TEST_VALGRIND"))
        cmocka_set_skip_filter("test_too_few_numbers_free");
    return cmocka_run_group_tests(tests, NULL, NULL);
}

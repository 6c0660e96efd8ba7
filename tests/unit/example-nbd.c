/* SPDX-License-Identifier: MIT */
/* The example VMM's NBD server: what a client may send, and what nobody should. */
#include "oracle.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nbd.h"

#define SIZE 65536

/* A disk that is open already: no helper is needed for what is asked here. */
static struct disk disk = {.lock = PTHREAD_RWLOCK_INITIALIZER, .fd = -1};
static int client; /* our end */
static pthread_t server;

static void *serve(void *data) {
    nbd_serve((int)(intptr_t)data, &disk);
    return NULL;
}

static int begin(void **state) {
    int sockets[2];
    if (oracle_remember(state) < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets))
        return -1;
    disk.fd = memfd_create("disk", MFD_CLOEXEC);
    disk.size = SIZE;
    disk.read_only = false;
    client = sockets[0];
    return ftruncate(disk.fd, SIZE) < 0 ||
           pthread_create(&server, NULL, serve, (void *)(intptr_t)sockets[1]);
}

/* The server ends, at the latest as its client hangs up, and leaves nothing behind. */
static int end(void **state) {
    close(client);
    pthread_join(server, NULL);
    close(disk.fd);
    return oracle_compare(state);
}

#define nbd_test(function) cmocka_unit_test_setup_teardown(function, begin, end)

static void say(const void *bytes, size_t length) {
    /* It may have hung up already. */
    (void)!send(client, bytes, length, MSG_NOSIGNAL);
}

static void say_32(uint32_t number) {
    number = htobe32(number);
    say(&number, sizeof(number));
}

static void say_64(uint64_t number) {
    number = htobe64(number);
    say(&number, sizeof(number));
}

static void hear(void *bytes, size_t length) {
    assert_int_equal(recv(client, bytes, length, MSG_WAITALL), length);
}

static uint32_t hear_32(void) {
    uint32_t number;
    hear(&number, sizeof(number));
    return be32toh(number);
}

static uint64_t hear_64(void) {
    uint64_t number;
    hear(&number, sizeof(number));
    return be64toh(number);
}

static void assert_hung_up(void) {
    char byte;
    assert_true(recv(client, &byte, 1, MSG_WAITALL) <= 0); /* or reset, with bytes unread */
}

/* --------------------------------------------------------------- negotiation */

static void greet(uint32_t flags) {
    uint16_t server_flags;
    assert_int_equal(hear_64(), 0x4e42444d41474943);
    assert_int_equal(hear_64(), 0x49484156454f5054);
    hear(&server_flags, sizeof(server_flags));
    assert_int_equal(be16toh(server_flags), 3);
    say_32(flags);
}

static void say_option(uint32_t option, const void *data, uint32_t length) {
    say_64(0x49484156454f5054);
    say_32(option);
    say_32(length);
    say(data, length);
}

/* Returns the length of what follows. */
static uint32_t hear_answer(uint32_t option, uint32_t type) {
    assert_int_equal(hear_64(), 0x3e889045565a9);
    assert_int_equal(hear_32(), option);
    assert_int_equal(hear_32(), type);
    return hear_32();
}

#define ACK         1
#define UNSUPPORTED 0x80000001
#define INVALID     0x80000003
#define GO_DATA     "\0\0\0\2hd\0\1\0\3" /* "hd", and its block sizes if you like */

static void go(int flags) {
    uint16_t info[6];
    greet(3);
    say_option(7, GO_DATA, sizeof(GO_DATA) - 1);
    assert_int_equal(hear_answer(7, 3), sizeof(info));
    hear(info, sizeof(info));
    assert_int_equal(be16toh(info[0]), 0);
    assert_int_equal(be16toh(info[5]), flags);
    assert_int_equal(hear_answer(7, ACK), 0);
}

static void test_what_it_does_not_know(void **state) {
    greet(3);
    say_option(8, NULL, 0); /* structured replies */
    assert_int_equal(hear_answer(8, UNSUPPORTED), 0);
    say_option(99, "data", 4);
    assert_int_equal(hear_answer(99, UNSUPPORTED), 0);
    say_option(6, GO_DATA, sizeof(GO_DATA) - 1); /* only asks */
    char info[12];
    assert_int_equal(hear_answer(6, 3), sizeof(info));
    hear(info, sizeof(info));
    assert_int_equal(hear_answer(6, ACK), 0);
    say_option(2, NULL, 0); /* and leaves */
    assert_int_equal(hear_answer(2, ACK), 0);
    assert_hung_up();
}

static void test_malformed_options(void **state) {
    static const struct {
        const char *data;
        uint32_t length;
    } rows[] = {
        {"", 0},
        {"\0\0\0\0\0", 5},
        {"\0\0\0\1\0\0", 6},         /* the name is not there */
        {"\xff\xff\xff\xff\0\0", 6}, /* nor this one */
        {"\xff\xff\xff\xfe\0\0", 6}, /* nor this, in 32 bits */
        {"\0\0\0\0\0\1", 6},         /* an item that is not there */
        {"\0\0\0\0\xff\xff\0\0", 8},
        {"\0\0\0\0\0\0\0", 7}, /* more than it says */
    };
    greet(3);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        print_message("# row %zu\n", i);
        say_option(7, rows[i].data, rows[i].length);
        assert_int_equal(hear_answer(7, INVALID), 0);
    }
}

static void test_an_option_without_end(void **state) {
    greet(3);
    say_64(0x49484156454f5054);
    say_32(7);
    say_32(0xffffffff);
    assert_hung_up();
}

static void test_another_protocol(void **state) {
    greet(3);
    say("GET / HTTP/1.1\r\n\r\n", 18);
    assert_hung_up();
}

static void test_an_old_client(void **state) {
    char padding[124];
    uint16_t flags;
    greet(1);
    say_option(1, "disk", 4);
    assert_int_equal(hear_64(), SIZE);
    hear(&flags, sizeof(flags));
    hear(padding, sizeof(padding));
}

/* ------------------------------------------------------------------ requests */

static void say_request(uint16_t command, uint64_t offset, uint32_t length) {
    say_32(0x25609513);
    say_32(command);
    say_64(0xc00c1e);
    say_64(offset);
    say_32(length);
}

static uint32_t hear_reply(void) {
    assert_int_equal(hear_32(), 0x67446698);
    uint32_t error = hear_32();
    assert_int_equal(hear_64(), 0xc00c1e);
    return error;
}

static void test_reads_and_writes(void **state) {
    static char bytes[4096], read[4096];
    go(13);
    memset(bytes, 'x', sizeof(bytes));
    say_request(1, SIZE - 4096, 4096);
    say(bytes, sizeof(bytes));
    assert_int_equal(hear_reply(), 0);
    say_request(3, 0, 0);
    assert_int_equal(hear_reply(), 0);
    say_request(0, SIZE - 4096, 4096);
    assert_int_equal(hear_reply(), 0);
    hear(read, sizeof(read));
    assert_memory_equal(read, bytes, sizeof(read));
    say_request(2, 0, 0);
    assert_hung_up();
}

/* Refused, and the next is served: where it says so, the data that belong to it are read. */
static void test_requests_that_cannot_be(void **state) {
    static const struct {
        uint64_t offset;
        uint32_t length;
        uint16_t command;
    } rows[] = {
        {SIZE, 1, 0},           {SIZE - 1, 2, 0}, {UINT64_MAX, 1, 0}, {UINT64_MAX, 2, 0},
        {UINT64_MAX - 1, 1, 1}, {SIZE, 1, 1},     {0, 0, 4},          {0, 0, 0xffff},
    };
    go(13);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        print_message("# row %zu\n", i);
        say_request(rows[i].command, rows[i].offset, rows[i].length);
        if (rows[i].command == 1)
            say("x", 1);
        assert_int_equal(hear_reply(), EINVAL);
    }
    say_request(0, SIZE, 0);
    assert_int_equal(hear_reply(), 0);
}

static void test_a_disk_that_is_read_only(void **state) {
    disk.read_only = true;
    go(15);
    say_request(1, 0, 1);
    say("x", 1);
    assert_int_equal(hear_reply(), EPERM);
    say_request(0, 0, 1);
    assert_int_equal(hear_reply(), 0);
}

static void test_a_transfer_without_end(void **state) {
    go(13);
    say_request(1, 0, 0xffffffff);
    assert_hung_up();
}

static void test_a_request_cut_short(void **state) {
    go(13);
    say_request(1, 0, 4096);
    say("x", 1);
    shutdown(client, SHUT_WR);
    assert_hung_up();
}

static void test_no_request(void **state) {
    go(13);
    say("this is no request, or is it one", 28);
    assert_hung_up();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        nbd_test(test_what_it_does_not_know),
        nbd_test(test_malformed_options),
        nbd_test(test_an_option_without_end),
        nbd_test(test_another_protocol),
        nbd_test(test_an_old_client),
        nbd_test(test_reads_and_writes),
        nbd_test(test_requests_that_cannot_be),
        nbd_test(test_a_disk_that_is_read_only),
        nbd_test(test_a_transfer_without_end),
        nbd_test(test_a_request_cut_short),
        nbd_test(test_no_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

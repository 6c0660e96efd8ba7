/* SPDX-License-Identifier: MIT */
/* Whatever comes in over a socket: an error for the sender, everything that was
 * received closed, everyone else served. */
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int disk;

static struct helper *start(void) {
    struct helper *helper = helper_start(NULL);
    disk = file_open("disk", O_RDWR);
    client_add_one(helper->manager, 1, disk);
    assert_held(helper, disk, 1);
    return helper;
}

static void expect_others_served(struct helper *helper) {
    struct opened opened = client_open_set(helper->vmm, 1, O_RDWR);
    assert_serves(opened.fd, disk, O_RDWR);
    client_close(helper->vmm, &opened);
    client_barrier(helper->vmm);
    client_wait_settled(helper->manager);
    assert_held(helper, disk, 1);
}

/* Refused as no request, and hung up on. */
static void expect_expelled(struct helper *helper, struct client *client) {
    Reply *reply = client_receive(client);
    assert_refused(reply, CODE(PROTOCOL), EPROTO);
    assert_hung_up(client);
    expect_others_served(helper);
}

static Request query_request(void) {
    static Fdset__V1__Query query = FDSET__V1__QUERY__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    request.body_case = FDSET__V1__REQUEST__BODY_QUERY;
    request.query = &query;
    return request;
}

/* -------------------------------------------------------- malformed packets */

static void test_garbage(void **state) {
    struct helper *helper = start();
    static uint8_t bytes[FDSET_MAX_PACKET_BYTES];
    size_t lengths[] = {1, 2, 7, 100, 4096, FDSET_MAX_PACKET_BYTES};
    memset(bytes, 0xff, sizeof(bytes));
    for (int role = ROLE(VMM); role <= ROLE(OBSERVER); role++)
        for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
            struct client *client = helper_connect(helper, role, "garbage");
            client_send_bytes(client, bytes, lengths[i], NULL, 0);
            expect_expelled(helper, client);
        }
}

static void test_garbage_as_first_packet(void **state) {
    struct helper *helper = start();
    struct client *client = helper_connect_silent(helper, ROLE(MANAGER));
    client_send_bytes(client, "GET / HTTP/1.1\r\n\r\n", 18, NULL, 0);
    expect_expelled(helper, client);
}

/* Bytes that may even mean something now and then: only the others matter. */
static void test_random_bytes(void **state) {
    struct helper *helper = start();
    uint8_t bytes[64];
    srandom(2012);
    for (int round = 0; round < 500; round++) {
        struct client *client = helper_connect(helper, ROLE(VMM) + round % 3, "random");
        size_t length = 1 + (size_t)random() % sizeof(bytes);
        for (size_t i = 0; i < length; i++)
            bytes[i] = (uint8_t)random();
        client_send_bytes(client, bytes, length, NULL, 0);
        client_hang_up(client);
    }
    expect_others_served(helper);
}

static void test_request_without_body(void **state) {
    struct helper *helper = start();
    struct client *client = helper_connect(helper, ROLE(MANAGER), "no body");
    Request request = FDSET__V1__REQUEST__INIT;
    client_send(client, &request, NULL, 0);
    expect_expelled(helper, client);
}

/* Serial 5, no descriptors, field 77 with an empty message: a request of tomorrow. */
static void test_request_of_a_later_version(void **state) {
    struct helper *helper = start();
    struct client *client = helper_connect(helper, ROLE(MANAGER), "tomorrow");
    client_send_bytes(client, "\x08\x05\xea\x04\x00", 5, NULL, 0);
    Reply *reply = client_receive(client);
    assert_refused(reply, CODE(PROTOCOL), EPROTO);
    assert_int_equal(reply->serial, 5);
    assert_hung_up(client);
    expect_others_served(helper);
}

static void test_cut_packet(void **state) {
    struct helper *helper = start();
    uint8_t bytes[FDSET_MAX_PACKET_BYTES];
    Request request = query_request();
    Fdset__V1__Hello hello = FDSET__V1__HELLO__INIT;
    hello.name = (char *)"a name that is cut off";
    request.serial = 9;
    request.body_case = FDSET__V1__REQUEST__BODY_HELLO;
    request.hello = &hello;
    int length = packet_encode(&request.base, bytes);
    for (int cut = length - 1; cut > 2; cut -= 5) {
        struct client *client = helper_connect(helper, ROLE(VMM), "cut");
        client_send_bytes(client, bytes, (size_t)cut, NULL, 0);
        expect_expelled(helper, client);
    }
}

static void test_serial_zero(void **state) {
    struct helper *helper = start();
    struct client *client = helper_connect(helper, ROLE(MANAGER), "zero");
    Request request = query_request();
    client->serial = UINT32_MAX; /* the next is 0 */
    client_send(client, &request, NULL, 0);
    expect_expelled(helper, client);
}

static void test_oversized_packet(void **state) {
    struct helper *helper = start();
    struct client *client = helper_connect(helper, ROLE(MANAGER), "large");
    static uint8_t bytes[4 * FDSET_MAX_PACKET_BYTES];
    int fds[] = {disk, disk};
    /* Nothing but a cut tells a long request from garbage: the cut is what is said. */
    client_send_bytes(client, bytes, FDSET_MAX_PACKET_BYTES + 1, fds, 2);
    assert_refused(client_receive(client), CODE(DESCRIPTORS), EPROTO);
    client_send_bytes(client, bytes, sizeof(bytes), fds, 2);
    assert_refused(client_receive(client), CODE(DESCRIPTORS), EPROTO);
    expect_others_served(helper);
}

static void test_bombs(void **state) {
    struct helper *helper = start();
    static uint8_t bytes[FDSET_MAX_PACKET_BYTES];
    /* Pairs of bytes that cost protobuf-c a record each: an unknown field; the
     * same within an OpenMany; and empty Opens. */
    const struct {
        uint8_t key;
        bool in_open_many;
    } bombs[] = {{15 << 3, false}, {15 << 3, true}, {1 << 3 | 2, true}};
    for (size_t i = 0; i < sizeof(bombs) / sizeof(bombs[0]); i++) {
        size_t at = 0, inner = FDSET_MAX_PACKET_BYTES - 10;
        bytes[at++] = 1 << 3; /* serial 1 */
        bytes[at++] = 1;
        if (bombs[i].in_open_many) {
            bytes[at++] = 4 << 3 | 2;
            bytes[at++] = (uint8_t)(inner & 0x7f) | 0x80;
            bytes[at++] = (uint8_t)(inner >> 7 & 0x7f) | 0x80;
            bytes[at++] = (uint8_t)(inner >> 14);
        }
        size_t end = bombs[i].in_open_many ? at + inner : FDSET_MAX_PACKET_BYTES;
        for (; at + 1 < end; at += 2) {
            bytes[at] = bombs[i].key;
            bytes[at + 1] = 0;
        }
        struct client *client = helper_connect(helper, ROLE(VMM), "bomb");
        client_send_bytes(client, bytes, at, NULL, 0);
        expect_expelled(helper, client);
    }
}

/* -------------------------------------------------------------- descriptors */

static void test_wrong_counts(void **state) {
    struct helper *helper = start();
    Fdset__V1__NewMember member = FDSET__V1__NEW_MEMBER__INIT, *members[] = {&member};
    Fdset__V1__NewMembers set = FDSET__V1__NEW_MEMBERS__INIT, *sets[] = {&set};
    Fdset__V1__AddFds add = FDSET__V1__ADD_FDS__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    int fds[] = {disk, disk, disk};
    set.members = members;
    set.n_members = 1;
    add.sets = sets;
    add.n_sets = 1;
    request.body_case = FDSET__V1__REQUEST__BODY_ADD_FDS;
    request.add_fds = &add;
    const struct {
        uint32_t announced;
        size_t sent;
    } counts[] = {{0, 1}, {1, 0}, {1, 2}, {2, 1}, {253, 3}, {UINT32_MAX, 1}};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        uint32_t serial = client_send_announcing(helper->manager, &request, counts[i].announced,
                                                 fds, counts[i].sent);
        assert_refused(client_answer(helper->manager, serial), CODE(DESCRIPTORS), EPROTO);
        assert_int_equal(client_totals(helper->manager).members, 1);
    }
    expect_others_served(helper);
}

static void test_descriptors_with_a_request_that_has_none(void **state) {
    struct helper *helper = start();
    Request request = query_request();
    uint32_t serial = client_send(helper->manager, &request, &disk, 1);
    assert_refused(client_answer(helper->manager, serial), CODE(DESCRIPTORS), EPROTO);
    expect_others_served(helper);
}

static void test_descriptors_with_garbage(void **state) {
    struct helper *helper = start();
    int fds[FDSET_MAX_DESCRIPTORS];
    for (size_t i = 0; i < FDSET_MAX_DESCRIPTORS; i++)
        fds[i] = disk;
    for (int round = 0; round < 20; round++) {
        struct client *client = helper_connect(helper, ROLE(MANAGER), "garbage");
        client_send_bytes(client, "\xff", 1, fds, FDSET_MAX_DESCRIPTORS);
        expect_expelled(helper, client);
    }
}

static void test_empty_packet_with_descriptors(void **state) {
    struct helper *helper = start();
    struct client *client = helper_connect(helper, ROLE(MANAGER), "empty");
    int fds[] = {disk, disk, disk};
    client_send_bytes(client, NULL, 0, fds, 3);
    expect_expelled(helper, client);
}

/* A packet without anything looks like the end, to the kernel too. */
static void test_empty_packet(void **state) {
    struct helper *helper = start();
    struct client *client = helper_connect(helper, ROLE(VMM), "nothing");
    client_open_set(client, 1, O_RDWR);
    client_send_bytes(client, NULL, 0, NULL, 0);
    assert_hung_up(client);
    expect_others_served(helper);
}

/* Linux 6.16 stops it at the sender; before, the helper refuses what arrives. */
static void expect_no_descriptor_accepted(struct client *client) {
    uint8_t bytes[FDSET_MAX_PACKET_BYTES];
    Request request = FDSET__V1__REQUEST__INIT;
    Fdset__V1__OpenMany none = FDSET__V1__OPEN_MANY__INIT;
    request.serial = ++client->serial;
    request.descriptors = 1;
    request.body_case = FDSET__V1__REQUEST__BODY_OPEN_MANY;
    request.open_many = &none;
    int length = packet_encode(&request.base, bytes);
    int result = packet_send(client->socket, bytes, (size_t)length, &disk, 1, 0);
    if (result == -EPERM)
        return;
    assert_int_equal(result, 0);
    assert_refused(client_receive(client), CODE(DESCRIPTORS), EPROTO);
}

static void test_descriptor_from_a_vmm(void **state) {
    struct helper *helper = start();
    expect_no_descriptor_accepted(helper_connect(helper, ROLE(VMM), "by path"));
    expect_no_descriptor_accepted(helper_connect(helper, ROLE(OBSERVER), "by path"));
    expect_no_descriptor_accepted(helper->vmm);
    expect_others_served(helper);
}

/* Sent into a connection that waits for the helper to start: nothing stops it there. */
static void test_descriptor_from_a_vmm_before_the_start(void **state) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    Fdset__V1__Hello hello = FDSET__V1__HELLO__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    char number[16];
    int listening = harness_keep(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    strcpy(address.sun_path, file_path("early.sock"));
    assert_int_equal(bind(listening, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listening, 5), 0);
    int early = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    struct client *client = client_new(early);
    assert_int_equal(connect(early, (struct sockaddr *)&address, sizeof(address)), 0);
    disk = file_open("disk", O_RDWR);
    hello.version = 1;
    request.body_case = FDSET__V1__REQUEST__BODY_HELLO;
    request.hello = &hello;
    client_send(client, &request, &disk, 1);

    snprintf(number, sizeof(number), "%d", listening);
    struct helper *helper =
        helper_start_with((const char *[]){"--vmm-fd", number, NULL}, (int[]){listening, -1});
    client_add_one(helper->manager, 1, disk);
    assert_refused(client_receive(client), CODE(DESCRIPTORS), EPROTO);
    assert_hung_up(client); /* after what it sent is closed */
    client_free(client);
    expect_others_served(helper);
    client_remove(helper->manager, 1, 0);
    client_wait_settled(helper->manager);
    client_hang_up(helper->vmm); /* nobody knows whether the early one was there for the count */
}

/* The helper's own descriptor limit, lowered from outside, cuts the control data short. */
static void test_cut_control_data(void **state) {
    struct helper *helper = start();
    struct new_member members[8];
    struct new_set set = {2, 0, members, 8};
    for (int i = 0; i < 8; i++)
        members[i] = (struct new_member){.fd = disk};
    helper_limit_descriptors(helper, helper_descriptors(helper) + 3);
    uint32_t serial = client_send_add(helper->manager, &set, 1);
    assert_refused(client_answer(helper->manager, serial), CODE(DESCRIPTORS), EPROTO);
    helper_limit_descriptors(helper, 0);
    assert_int_equal(client_totals(helper->manager).sets, 1);
    expect_others_served(helper);
}

/* ----------------------------------------------------------------- floods */

static void test_vmm_that_never_reads(void **state) {
    struct helper *helper = start();
    uint8_t bytes[FDSET_MAX_PACKET_BYTES];
    client_add_one(helper->manager, 2, file_open("log", O_RDONLY));
    struct client *flooding = helper_connect(helper, ROLE(VMM), "flood");
    size_t sent = client_flood(flooding, bytes, pack_open_many(bytes, 7, 1));
    expect_others_served(helper);

    /* When it reads at last, each request has its answer. */
    for (size_t i = 0; i < sent; i++) {
        Reply *reply = client_answer(flooding, 7);
        assert_int_equal(reply->body_case, REPLY(OPENED_MANY));
    }
    client_hang_up(flooding);
    client_wait_idle(helper->manager);
    expect_others_served(helper);
}

static void test_manager_that_never_reads(void **state) {
    struct helper *helper = start();
    uint8_t bytes[FDSET_MAX_PACKET_BYTES];
    struct client *flooding = helper_connect(helper, ROLE(MANAGER), "flood");
    Request request = query_request();
    request.serial = 3;
    size_t sent = client_flood(flooding, bytes, (size_t)packet_encode(&request.base, bytes));
    expect_others_served(helper);
    for (size_t i = 0; i < sent; i++)
        assert_int_equal(client_answer(flooding, 3)->body_case, REPLY(QUERY));
}

/* Errors are replies too. */
static void test_flood_of_errors(void **state) {
    struct helper *helper = start();
    uint8_t bytes[FDSET_MAX_PACKET_BYTES];
    struct client *flooding = helper_connect(helper, ROLE(OBSERVER), "flood");
    client_flood(flooding, bytes, pack_open_many(bytes, 7, 1));
    expect_others_served(helper);
    client_hang_up(flooding);
    expect_others_served(helper);
}

/* Descriptors on their way count against the helper's user as a
 * whole: one VMM that asks for more and more and takes none must not use that up. */
static void test_hoard_of_descriptors_on_their_way(void **state) {
    struct helper *helper = helper_start(NULL);
    uint8_t bytes[FDSET_MAX_PACKET_BYTES];
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    client_add_one(helper->manager, 2, file_open("log", O_RDONLY));
    struct client *hoarding = helper_connect(helper, ROLE(VMM), "hoard");
    Totals before, now = client_totals(helper->manager);
    do {
        before = now;
        client_flood(hoarding, bytes, pack_open_many(bytes, 7, 250));
        for (int i = 0; i < 10; i++)
            now = client_totals(helper->manager);
    } while (now.opens != before.opens || now.denied != before.denied);

    struct opened opened = client_open_set(helper->vmm, 1, O_RDWR);
    if (opened.fd < 0)
        print_error("with %u opens of one VMM: %s\n", (unsigned)now.opens, opened.text);
    assert_int_equal(opened.code, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_garbage),
        helper_test(test_garbage_as_first_packet),
        helper_test(test_random_bytes),
        helper_test(test_request_without_body),
        helper_test(test_request_of_a_later_version),
        helper_test(test_cut_packet),
        helper_test(test_serial_zero),
        helper_test(test_oversized_packet),
        helper_test(test_bombs),
        helper_test(test_wrong_counts),
        helper_test(test_descriptors_with_a_request_that_has_none),
        helper_test(test_descriptors_with_garbage),
        helper_test(test_empty_packet_with_descriptors),
        helper_test(test_empty_packet),
        helper_test(test_descriptor_from_a_vmm),
        helper_test(test_descriptor_from_a_vmm_before_the_start),
        helper_test(test_cut_control_data),
        helper_test(test_vmm_that_never_reads),
        helper_test(test_manager_that_never_reads),
        helper_test(test_flood_of_errors),
        helper_test(test_hoard_of_descriptors_on_their_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

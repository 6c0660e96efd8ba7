/* SPDX-License-Identifier: MIT */
/* Faults that a reviewer found in the helper and that were mended, where no
 * other file is about the same thing. Each of these tests failed before. */
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ------------------------------------------- one VMM at the cost of the others */

static int64_t cpu_time_ns(const struct helper *helper) {
    clockid_t clock;
    struct timespec used;
    assert_int_equal(clock_getcpuclockid(helper->pid, &clock), 0);
    assert_int_equal(clock_gettime(clock, &used), 0);
    return used.tv_sec * 1000000000ll + used.tv_nsec;
}

#define HOARDED 40
#define WAIT_MS 200

/* Descriptors that were sent and not received count against the helper's user:
 * one VMM that asks for ten thousand and takes none must leave some for others.
 * And what cannot be sent must not be tried without end: while an open waits its
 * time out, the helper has next to nothing to do. The bound is a quarter of the
 * processor time that trying all the time would take. */
static void test_a_vmm_that_takes_nothing(void **state) {
    struct helper *helper = helper_start(NULL);
    uint8_t bytes[FDSET_MAX_PACKET_BYTES];
    int disk = file_open("disk", O_RDWR);
    client_add_one(helper->manager, 1, disk);
    client_add_one(helper->manager, 2, file_open("log", O_RDONLY));
    struct client *hoarding = helper_connect(helper, ROLE(VMM), "hoard");
    size_t length = pack_open_many(bytes, 7, 250);
    for (int i = 0; i < HOARDED; i++)
        if (packet_send(hoarding->socket, bytes, length, NULL, 0, MSG_DONTWAIT) < 0)
            break;

    for (int i = 0; i < 50; i++) {
        struct opened opened = client_open_set(helper->vmm, 1, O_RDWR);
        if (opened.fd < 0)
            fail_msg("not served: %s", opened.text);
        assert_serves(opened.fd, disk, O_RDWR);
        client_close(helper->vmm, &opened);
    }
    client_barrier(helper->vmm);
    int64_t before = cpu_time_ns(helper);
    uint32_t serial = client_send_patient_open(helper->vmm, "/dev/fdset/9", O_RDWR, WAIT_MS);
    assert_int_equal(client_opened(helper->vmm, serial).code, CODE(NO_SET));
    assert_true(cpu_time_ns(helper) - before < WAIT_MS * 1000000ll / 4);

    /* It gets everything once it begins to take it. */
    for (int i = 0; i < 8; i++) {
        Reply *reply = client_answer(hoarding, 7);
        assert_int_equal(reply->body_case, REPLY(OPENED_MANY));
        assert_int_equal(reply->descriptors, 250);
    }
}

/* A VMM has read nearly all of what it was sent. The one descriptor that it has not read
 * must not pass for all that were sent since it last had read everything. */
static void test_a_little_that_is_unread(void **state) {
    struct helper *helper = helper_start(NULL);
    uint8_t bytes[FDSET_MAX_PACKET_BYTES];
    client_add_one(helper->manager, 2, file_open("log", O_RDONLY));
    for (int i = 0; i < 2; i++) {
        client_send_bytes(helper->vmm, bytes, pack_open_many(bytes, 7, 250), NULL, 0);
        assert_int_equal(client_answer(helper->vmm, 7)->descriptors, 250);
    }
    uint32_t first = client_send_open(helper->vmm, "/dev/fdset/2", O_RDONLY);
    client_send_bytes(helper->vmm, bytes, pack_open_many(bytes, 7, 50), NULL, 0);
    uint32_t last = client_send_open(helper->vmm, "/dev/fdset/2", O_RDONLY);
    wait_until(client_totals(helper->manager).opens == 552);
    assert_true(client_opened(helper->vmm, first).fd >= 0);
    assert_int_equal(client_answer(helper->vmm, 7)->descriptors, 50);
    assert_true(client_opened(helper->vmm, last).fd >= 0);
}

/* Connections of VMMs do not take the places of managers. */
static void test_room_for_a_manager(void **state) {
    struct helper *helper = helper_start((const char *[]){"--limit", "connections=16", NULL});
    Reply *reply;
    int vmms = 0;
    do {
        struct client *vmm = helper_connect_silent(helper, ROLE(VMM));
        Fdset__V1__Hello hello = FDSET__V1__HELLO__INIT;
        Request request = FDSET__V1__REQUEST__INIT;
        uint8_t bytes[64];
        hello.version = 1;
        request.serial = 1;
        request.body_case = FDSET__V1__REQUEST__BODY_HELLO;
        request.hello = &hello;
        /* One that is turned away may find nobody to say Hello to. */
        packet_send(vmm->socket, bytes, (size_t)packet_encode(&request.base, bytes), NULL, 0, 0);
        reply = client_receive(vmm);
        assert_non_null(reply);
        vmms++;
    } while (reply->body_case == REPLY(HELLO) && vmms < 16);
    assert_refused(reply, CODE(LIMIT), EMFILE);
    struct client *manager = helper_connect(helper, ROLE(MANAGER), "there is room");
    client_add_one(manager, 1, file_open("disk", O_RDWR));
    assert_int_equal(client_open_set(helper->vmm, 1, O_RDWR).code, 0);
}

/* ------------------------------------------------------------------ large adds */

/* The largest AddFds is one of as many sets as descriptors, each with a label. */
static void test_a_set_for_each_descriptor_of_a_packet(void **state) {
    static struct new_member members[FDSET_MAX_DESCRIPTORS];
    static struct new_set sets[FDSET_MAX_DESCRIPTORS];
    static char labels[FDSET_MAX_DESCRIPTORS][41];
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDONLY);
    for (int i = 0; i < FDSET_MAX_DESCRIPTORS; i++) {
        snprintf(labels[i], sizeof(labels[i]), "%040d", i);
        members[i] = (struct new_member){.fd = disk, .opaque = labels[i]};
        sets[i] = (struct new_set){i, LIFETIME(KEEP), &members[i], 1};
    }
    Reply *reply = client_add(helper->manager, sets, FDSET_MAX_DESCRIPTORS);
    assert_int_equal(reply->body_case, REPLY(ADDED));
    assert_int_equal(reply->added->n_sets, FDSET_MAX_DESCRIPTORS);
    assert_int_equal(client_totals(helper->manager).sets, FDSET_MAX_DESCRIPTORS);
    SetInfo *last = client_query(helper->manager, 252, NULL)->sets[0];
    assert_string_equal(last->members[0]->opaque, labels[252]);
}

/* --------------------------------------------------------------- status flags */

/* Only the owner of a file may set O_NOATIME, which the helper need not be. It does not
 * clear what it could not put back, but a VMM can, by the descriptor that it has. Then
 * opens go on, the other flags come back, and none is given that lacks what it asked for. */
static void test_a_flag_that_a_vmm_took_away(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *other = helper_connect(helper, ROLE(VMM), "other");
    int disk = file_open("disk", O_RDONLY | O_NOATIME | O_DIRECT);
    struct new_member member = {.fd = disk, .sharing = SHARING(SHARED)};
    client_add_set(helper->manager, 1, 0, &member, 1);
    struct opened opened = client_open_set(helper->vmm, 1, O_RDONLY);
    assert_serves(opened.fd, disk, O_RDONLY | O_NOATIME);
    assert_int_equal(fcntl(opened.fd, F_SETFL, 0), 0);
    struct opened second = client_open_set(helper->vmm, 1, O_RDONLY);
    assert_serves(second.fd, disk, O_RDONLY);
    assert_serves(client_open_set(other, 1, O_RDONLY).fd, disk, O_RDONLY);
    client_hang_up(other);
    client_close(helper->vmm, &opened);
    client_close(helper->vmm, &second);
    client_wait_idle(helper->manager);
    assert_true(fcntl(disk, F_GETFL) & O_DIRECT);

    opened = client_open_set(helper->vmm, 1, O_RDONLY | O_NOATIME);
    if (opened.fd >= 0) {
        assert_serves(opened.fd, disk, O_RDONLY | O_NOATIME);
        return;
    }
    assert_int_equal(opened.code, CODE(FLAGS));
    assert_int_equal(opened.error, EPERM);
}

/* ----------------------------------------------------------------- the sockets */

/* Inherited sockets may have any number, also one that is beyond the descriptor
 * limit that goes with the helper's own limits. */
static void test_a_socket_with_a_high_number(void **state) {
    enum { HIGH = 2000 };
    struct rlimit limit, more;
    char output[4096];
    int pair[2];
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    more = (struct rlimit){limit.rlim_max, limit.rlim_max};
    if (limit.rlim_max <= HIGH)
        skip();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &more), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(dup3(pair[1], HIGH, O_CLOEXEC), HIGH);
    harness_keep(HIGH);
    close(pair[1]);

    /* All that it will ever say is there before the helper is. */
    struct client *vmm = client_new(pair[0]);
    Fdset__V1__Hello hello = FDSET__V1__HELLO__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    hello.version = 1;
    request.body_case = FDSET__V1__REQUEST__BODY_HELLO;
    request.hello = &hello;
    client_send(vmm, &request, NULL, 0);
    uint32_t open = client_send_open(vmm, "/dev/fdset/1", O_RDWR);
    assert_int_equal(shutdown(pair[0], SHUT_WR), 0);
    int status = helper_run((const char *[]){"--limit", "members=16", "--limit", "connections=4",
                                             "--vmm-fd", "2000", NULL},
                            (int[]){HIGH, -1}, output, sizeof(output));
    if (status != 0)
        fail_msg("status %d: %s", status, output);
    assert_int_equal(client_receive(vmm)->body_case, REPLY(HELLO));
    assert_int_equal(client_opened(vmm, open).code, CODE(NO_SET));
    client_free(vmm);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_a_vmm_that_takes_nothing),
        helper_test(test_a_little_that_is_unread),
        helper_test(test_room_for_a_manager),
        helper_test(test_a_set_for_each_descriptor_of_a_packet),
        helper_test(test_a_flag_that_a_vmm_took_away),
        helper_test(test_a_socket_with_a_high_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

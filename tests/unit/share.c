/* SPDX-License-Identifier: MIT */
/* A session's share of the descriptors in flight: what is beyond it is held back, and
 * goes as soon as the peer has read. No time passes here: timers_tick() is not called. */
#include "oracle.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "requests/add_remove.h"
#include "requests/turn.h"

#define OPENS 250 /* two such packets are within a share, three are not */

static struct service service;

static void run_until_idle(void) {
    for (int turn = 0; turn < 20; turn++) {
        assert_int_equal(loop_turn(&service.sessions.loop, 0), 0);
        turn_end(&service);
    }
}

static void send_request(int peer, Fdset__V1__Request *request) {
    static uint8_t bytes[FDSET_MAX_PACKET_BYTES];
    request->serial = 7;
    int length = packet_encode(&request->base, bytes);
    assert_true(length > 0);
    assert_int_equal(packet_send(peer, bytes, (size_t)length, NULL, 0, 0), 0);
}

static void send_hello(int peer) {
    Fdset__V1__Request request = FDSET__V1__REQUEST__INIT;
    Fdset__V1__Hello hello = FDSET__V1__HELLO__INIT;
    hello.version = 1;
    request.body_case = FDSET__V1__REQUEST__BODY_HELLO;
    request.hello = &hello;
    send_request(peer, &request);
}

static void send_opens(int peer) {
    Fdset__V1__Request request = FDSET__V1__REQUEST__INIT;
    Fdset__V1__OpenMany many = FDSET__V1__OPEN_MANY__INIT;
    Fdset__V1__Open open = FDSET__V1__OPEN__INIT, *opens[OPENS];
    open.path = (char *)"/dev/fdset/1";
    open.flags = O_RDONLY;
    for (int i = 0; i < OPENS; i++)
        opens[i] = &open;
    many.opens = opens;
    many.n_opens = OPENS;
    request.body_case = FDSET__V1__REQUEST__BODY_OPEN_MANY;
    request.open_many = &many;
    send_request(peer, &request);
}

/* Returns how many descriptors came with the next packet, or -errno. */
static int receive(int peer) {
    static uint8_t bytes[FDSET_MAX_PACKET_BYTES];
    struct packet_descriptors descriptors;
    struct packet_info info;
    int error = packet_receive(peer, bytes, &descriptors, MSG_DONTWAIT, &info);
    if (error)
        return error;
    assert_false(info.hangup || info.truncated);
    int count = (int)descriptors.count;
    packet_descriptors_close(&descriptors);
    return count;
}

static void test_what_is_held_back_goes_when_the_peer_reads(void **state) {
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
                     0);
    assert_non_null(session_begin(&service.sessions, pair[1], ROLE_VMM));
    send_hello(pair[0]);
    for (int i = 0; i < 4; i++)
        send_opens(pair[0]);
    run_until_idle();
    assert_int_equal(receive(pair[0]), 0); /* to Hello */
    assert_int_equal(receive(pair[0]), OPENS);
    assert_int_equal(receive(pair[0]), OPENS);
    assert_int_equal(receive(pair[0]), -EAGAIN); /* while nobody turns the loop */
    for (int i = 0; i < 2; i++) {
        run_until_idle();
        assert_int_equal(receive(pair[0]), OPENS);
    }
    run_until_idle();
    assert_int_equal(receive(pair[0]), -EAGAIN);
    close(pair[0]);
    run_until_idle();
}

int main(void) {
    static const struct limits limits = {.sets = 2,
                                         .members = 2,
                                         .leases = 2000,
                                         .leases_per_vmm = 2000,
                                         .connections = 2,
                                         .waiting = 2,
                                         .holds = 2,
                                         .events = 2};
    const struct CMUnitTest tests[] = {
        oracle_test(test_what_is_held_back_goes_when_the_peer_reads),
    };
    struct refusal refusal;
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null < 0 || service_init(&service, &limits) < 0 ||
        service_add_initial(&service, null, 1, NULL, &refusal) < 0)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    close(null); /* the service, which has it, is done with */
    return failed;
}

/* SPDX-License-Identifier: MIT */
/* What a session cannot be sent at once: what is beyond its share of the descriptors in
 * flight is held back, and goes as soon as the peer has read, without that time passes; what
 * the kernel is short of is sent again in time. */
#include "oracle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "requests/add_remove.h"
#include "requests/turn.h"

/* A set for each test: without settle threads, no member is settled. */
#define SETS 9

#define OPENS 250 /* two such packets are within a share, three are not */

static struct service service;
static int set = -1; /* of the test under way */

/* What sending with descriptors fails with, as the kernel has it; 0: it does not. */
static int shortage;

int __real_packet_send(int socket, const uint8_t *bytes, size_t length, const int *descriptors,
                       size_t count, int sendmsg_flags);
int __wrap_packet_send(int socket, const uint8_t *bytes, size_t length, const int *descriptors,
                       size_t count, int sendmsg_flags);
int __wrap_packet_send(int socket, const uint8_t *bytes, size_t length, const int *descriptors,
                       size_t count, int sendmsg_flags) {
    if (shortage && count > 0)
        return shortage;
    return __real_packet_send(socket, bytes, length, descriptors, count, sendmsg_flags);
}

static void run_until_idle(void) {
    for (int turn = 0; turn < 100; turn++) {
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
    char path[32];
    snprintf(path, sizeof(path), "/dev/fdset/%d", set);
    open.path = path;
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

static bool is_hung_up(int peer) {
    static uint8_t bytes[FDSET_MAX_PACKET_BYTES];
    struct packet_info info;
    int error = packet_receive(peer, bytes, NULL, MSG_DONTWAIT, &info);
    return error == -ECONNRESET || (error == 0 && info.hangup);
}

static struct session *connect_as(int pair[2], enum role role) {
    set++;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
                     0);
    struct session *session = session_begin(&service.sessions, pair[1], role,
                                            role == ROLE_VMM ? service.model.endpoints.all : NULL);
    if (session)
        session->carries = false; /* there are no threads here that would close its socket */
    return session;
}

static struct session *connect_pair(int pair[2]) {
    return connect_as(pair, ROLE_VMM);
}

static void test_what_is_held_back_goes_when_the_peer_reads(void **state) {
    int pair[2];
    assert_non_null(connect_pair(pair));
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

/* Lets pass the time that a session waits which is sent again. */
static void pass_time(void) {
    usleep(50000);
    assert_int_equal(loop_turn(&service.sessions.loop, 0), 0);
    timers_tick(&service);
    turn_end(&service);
    run_until_idle();
}

static struct endpoint *endpoint(void) {
    return service.model.endpoints.all;
}

/* Sends so many requests that one is held back, and reads none of it but Hello's answer. */
static struct session *begin_hoard(int pair[2]) {
    struct session *session = connect_pair(pair);
    assert_non_null(session);
    send_hello(pair[0]);
    for (int i = 0; i < 3; i++)
        send_opens(pair[0]);
    run_until_idle();
    assert_int_equal(receive(pair[0]), 0); /* to Hello */
    assert_non_null(session->pending);
    assert_int_equal(endpoint()->in_flight, 2 * OPENS);
    return session;
}

/* All connections of an endpoint are one VM, which has one share. */
static void test_another_connection_has_no_share_of_its_own(void **state) {
    int first[2], second[2];
    begin_hoard(first);
    assert_non_null(connect_pair(second));
    send_hello(second[0]);
    send_opens(second[0]);
    run_until_idle();
    assert_int_equal(receive(second[0]), 0); /* to Hello */
    assert_int_equal(receive(second[0]), -EAGAIN);

    /* There is room for both, as soon as the first has read. */
    assert_int_equal(receive(first[0]), OPENS);
    assert_int_equal(receive(first[0]), OPENS);
    pass_time();
    assert_int_equal(receive(first[0]), OPENS);
    assert_int_equal(receive(second[0]), OPENS);
    close(first[0]);
    close(second[0]);
    run_until_idle();
    assert_int_equal(endpoint()->in_flight, 0);
}

/* Lets so much time pass that nobody waits for. */
static void pass_seconds(unsigned seconds) {
    service.model.now_ms += seconds * 1000;
    timers_tick(&service);
    turn_end(&service);
}

/* Who is slow is not who reads nothing; and who is hung up on still has what was sent, which
 * counts until it is received: else it would only have to come back for more. */
static void test_who_reads_nothing_is_hung_up_on(void **state) {
    int pair[2];
    begin_hoard(pair);
    pass_seconds(40);
    assert_int_equal(receive(pair[0]), OPENS);
    send_opens(pair[0]); /* which is not even looked at */
    pass_seconds(40);
    assert_int_equal(service.model.lease_slab.used, 3 * OPENS);
    pass_seconds(59);
    assert_false(list_empty(&service.sessions.all));
    pass_seconds(2);
    run_until_idle();
    assert_true(list_empty(&service.sessions.all));
    assert_int_equal(service.model.lease_slab.used, 0);
    assert_int_equal(service.sessions.slab.used, 1);
    assert_int_equal(endpoint()->shares[RESOURCE_CONNECTIONS].used, 1);
    assert_true(endpoint()->in_flight >= 2 * OPENS);

    run_until_idle();
    assert_int_equal(service.sessions.slab.used, 1);
    assert_int_equal(receive(pair[0]), OPENS);
    run_until_idle();
    assert_int_equal(service.sessions.slab.used, 0);
    assert_int_equal(endpoint()->in_flight, 0);
    assert_true(is_hung_up(pair[0]));
    close(pair[0]);
}

/* It may say that it sends no more, and read when it likes. */
static void test_who_leaves_something_unread_counts_until_it_is_gone(void **state) {
    int pair[2];
    begin_hoard(pair);
    assert_int_equal(shutdown(pair[0], SHUT_RDWR), 0);
    run_until_idle();
    assert_true(list_empty(&service.sessions.all));
    assert_int_equal(service.sessions.slab.used, 1);
    assert_int_equal(endpoint()->in_flight, 2 * OPENS);
    close(pair[0]);
    run_until_idle();
    assert_int_equal(service.sessions.slab.used, 0);
    assert_int_equal(endpoint()->in_flight, 0);
}

/* An open is answered that the kernel has no memory for: Hello's answer is not read yet. */
static struct session *begin_shortage(int pair[2], int error) {
    struct session *session = connect_pair(pair);
    assert_non_null(session);
    send_hello(pair[0]);
    run_until_idle();
    shortage = error;
    send_opens(pair[0]);
    run_until_idle();
    assert_non_null(session->pending);
    return session;
}

static void end_shortage(int pair[2]) {
    assert_int_equal(receive(pair[0]), -EAGAIN);
    close(pair[0]);
    run_until_idle();
    assert_true(list_empty(&service.sessions.all));
    assert_null(deadlines_first(&service.sessions.resends));
}

static void test_what_the_kernel_was_short_of_goes_in_time(void **state) {
    int pair[2];
    begin_shortage(pair, -ENOBUFS);
    pass_time(); /* it is short of it still */
    assert_in_range(timers_timeout(&service), 0, 20);
    shortage = 0;
    run_until_idle();
    assert_int_equal(receive(pair[0]), 0); /* to Hello */
    assert_int_equal(receive(pair[0]), -EAGAIN);
    pass_time();
    assert_int_equal(receive(pair[0]), OPENS);
    end_shortage(pair);
}

/* Then no time helps, until the peer reads. */
static void test_what_was_short_of_memory_is_short_of_room(void **state) {
    int pair[2];
    begin_shortage(pair, -ENOBUFS);
    shortage = -EAGAIN;
    pass_time();
    assert_null(deadlines_first(&service.sessions.resends));
    shortage = 0;
    assert_int_equal(receive(pair[0]), 0); /* to Hello */
    run_until_idle();
    assert_int_equal(receive(pair[0]), OPENS);
    end_shortage(pair);
}

static void test_who_is_found_gone_in_time(void **state) {
    int pair[2];
    begin_shortage(pair, -ENOBUFS);
    shortage = -EPIPE;
    pass_time();
    shortage = 0;
    assert_true(list_empty(&service.sessions.all));
    close(pair[0]);
    assert_null(deadlines_first(&service.sessions.resends));
}

/* Nothing of it is left behind. */
static void test_a_subscriber_goes_with_its_events(void **state) {
    struct event event = {.kind = EVENT_WANTED};
    int pair[2];
    struct session *session = connect_as(pair, ROLE_MANAGER);
    assert_non_null(session);
    subscribe(&service, session, 0);
    service_tell(&service, &event);
    assert_false(list_empty(&service.subscriptions.unsent));
    session_end(session);
    assert_true(list_empty(&service.subscriptions.unsent));
    turn_end(&service);
    close(pair[0]);
}

int main(void) {
    static const struct endpoint_plan plan = {"vm"};
    static const struct limits limits = {.sets = SETS,
                                         .members = SETS,
                                         .leases = 2000,
                                         .leases_per_vmm = 2000,
                                         .connections = 2,
                                         .waiting = 2,
                                         .holds = 2,
                                         .events = 2,
                                         .unread_seconds = 60,
                                         .in_flight = 512};
    const struct CMUnitTest tests[] = {
        oracle_test(test_what_is_held_back_goes_when_the_peer_reads),
        oracle_test(test_another_connection_has_no_share_of_its_own),
        oracle_test(test_who_reads_nothing_is_hung_up_on),
        oracle_test(test_who_leaves_something_unread_counts_until_it_is_gone),
        oracle_test(test_what_the_kernel_was_short_of_goes_in_time),
        oracle_test(test_what_was_short_of_memory_is_short_of_room),
        oracle_test(test_who_is_found_gone_in_time),
        oracle_test(test_a_subscriber_goes_with_its_events),
    };
    struct refusal refusal;
    int fds[SETS];

    if (service_init(&service, &limits) < 0 ||
        endpoints_init(&service.model.endpoints, &limits, &plan, 1, false) < 0)
        return 1;
    for (int i = 0; i < SETS; i++) {
        fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (fds[i] < 0 ||
            service_add_initial(&service, fds[i], (uint32_t)i, NULL, NULL, &refusal) < 0)
            return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (int i = 0; i < SETS; i++)
        close(fds[i]); /* the service, which has them, is done with */
    return failed;
}

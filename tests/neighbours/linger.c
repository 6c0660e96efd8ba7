/* SPDX-License-Identifier: MIT */
/* What a VMM sends to a helper on a kernel without SO_PASSRIGHTS is closed by whoever drops it
 * last. A socket that lingers makes that close wait for as long as the sender likes: here for
 * an hour, so that a helper that waits for it answers nobody in the time of a test. */
#include "scene.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define AN_HOUR_S 3600

/* More than there are settle threads; and more than there are connections. */
#define MANY 10
#define MOST 150

/* The ends that do not read what the lingering ones have sent: while they are open and unread,
 * each close of the other end waits. */
static int far_ends[MOST];
static int far_end_count;

/* A connection of which nothing more can be sent, and whose close waits for all of it. */
static int lingering_socket(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct linger linger = {.l_onoff = 1, .l_linger = AN_HOUR_S};
    socklen_t size = sizeof(address);
    static const char bytes[65536];

    int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int near = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listening, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(listening, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(listen(listening, 1), 0);
    assert_int_equal(connect(near, (struct sockaddr *)&address, size), 0);
    assert_true(far_end_count < MOST);
    far_ends[far_end_count++] = harness_keep(accept4(listening, NULL, NULL, SOCK_CLOEXEC));
    close(listening);
    assert_int_equal(setsockopt(near, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    while (send(near, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        ;
    assert_int_equal(errno, EAGAIN);
    return near;
}

/* Sends such a socket behind whatever the attacker has sent, and keeps no copy. To be called
 * while the helper is paused, or else the last copy to be closed may be ours. */
static void send_lingering(struct client *attacker) {
    int near = lingering_socket();

    assert_int_equal(
        packet_send(attacker->socket, (const uint8_t *)"\xff", 1, &near, 1, MSG_DONTWAIT), 0);
    close(near);
}

/* As long as nobody reads there, the close of the other end has not come to its end. */
static void expect_all_linger(void) {
    for (int i = 0; i < far_end_count; i++) {
        struct pollfd state = {.fd = far_ends[i], .events = POLLRDHUP};
        assert_int_equal(poll(&state, 1, 0), 0);
    }
}

/* Those who wait for it go on. */
static void let_go(void) {
    while (far_end_count > 0)
        harness_close(far_ends[--far_end_count]);
}

static struct helper *start(void) {
    far_end_count = 0;
    return scene_start(NULL);
}

/* The helper reads no further before this one has read. */
static struct client *attacker_that_does_not_read(struct helper *helper) {
    struct client *attacker = attacker_connect(helper);

    assert_non_null(attacker);
    for (int i = 0; i < 3; i++)
        attacker_ask(attacker, FDSET_MAX_OPENS);
    attack_settles(helper);
    return attacker;
}

/* The victim, who closes too; and a manager, for whom a settle thread must be free. */
static void expect_served(struct helper *helper) {
    victim_expect_served_often(helper);
    for (int i = 0; i < 3; i++) {
        client_add_one(helper->manager, 5, scene_log());
        assert_int_equal(client_remove(helper->manager, 5, 0)->body_case, REPLY(REMOVED));
    }
    expect_all_linger();
    let_go();
    victim_expect_served(helper);
}

static void test_in_the_first_packet(void **state) {
    struct helper *helper = start();

    helper_pause(helper);
    send_lingering(helper_connect_silent(helper, ROLE(VMM)));
    helper_go_on(helper);
    attack_settles(helper);
    expect_served(helper);
}

static void test_where_it_is_read_at_once(void **state) {
    struct helper *helper = start();
    struct client *attacker = attacker_connect(helper);

    assert_non_null(attacker);
    helper_pause(helper);
    send_lingering(attacker);
    helper_go_on(helper);
    attack_settles(helper);
    expect_served(helper);
}

static void test_behind_unread_replies_that_are_read_at_last(void **state) {
    struct helper *helper = start();
    struct client *attacker = attacker_that_does_not_read(helper);

    helper_pause(helper);
    send_lingering(attacker);
    helper_go_on(helper);
    for (int i = 0; i < 3; i++)
        client_receive(attacker);
    attack_settles(helper);
    expect_served(helper);
}

static void test_behind_unread_replies_of_one_that_hangs_up(void **state) {
    struct helper *helper = start();
    struct client *attacker = attacker_that_does_not_read(helper);

    helper_pause(helper);
    send_lingering(attacker);
    helper_go_on(helper);
    client_hang_up(attacker);
    attack_settles(helper);
    expect_served(helper);
}

static void test_from_many_that_hang_up(void **state) {
    struct helper *helper = start();

    helper_pause(helper);
    for (int i = 0; i < MANY; i++) {
        struct client *attacker = helper_connect_silent(helper, ROLE(VMM));
        send_lingering(attacker);
        client_hang_up(attacker);
    }
    helper_go_on(helper);
    attack_settles(helper);
    expect_served(helper);
}

/* One after the other, each with a place of its own while its close waits; for whom there is
 * no place, nobody waits. */
static void test_from_more_than_there_are_places(void **state) {
    far_end_count = 0;
    struct helper *helper = scene_start_with_path(NULL);

    for (int i = 0; i < MOST; i++) {
        helper_pause(helper);
        struct client *attacker = helper_try_connect(helper, ROLE(VMM));
        if (attacker) {
            send_lingering(attacker);
            client_hang_up(attacker);
        }
        helper_go_on(helper);
        attack_settles(helper);
        if (!attacker)
            break;
    }
    assert_true(far_end_count > MANY);
    for (int i = 0; i < 20; i++)
        victim_expect_let_in(helper);
    expect_served(helper);
}

/* What lies before a socket that nobody has accepted yet is dropped with it. */
static void test_before_anybody_accepts(void **state) {
    struct helper *helper = start();

    helper_pause(helper);
    struct client *attacker = helper_connect_silent(helper, ROLE(VMM));
    send_lingering(attacker);
    client_hang_up(attacker);
    helper_go_on(helper);
    attack_settles(helper);
    expect_served(helper);
}

/* The helper turns away who comes when there is no place. */
static void test_from_one_that_is_turned_away(void **state) {
    far_end_count = 0;
    struct helper *helper = scene_start((const char *[]){"--limit", "connections=8", NULL});
    struct client *attacker;

    while ((attacker = attacker_connect(helper)))
        ;
    for (int i = 0; i < 2; i++) {
        helper_pause(helper);
        attacker = helper_connect_silent(helper, ROLE(VMM));
        send_lingering(attacker);
        if (i == 1)
            client_hang_up(attacker);
        helper_go_on(helper);
        attack_settles(helper);
    }
    expect_served(helper);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_in_the_first_packet),
        helper_test(test_where_it_is_read_at_once),
        helper_test(test_behind_unread_replies_that_are_read_at_last),
        helper_test(test_behind_unread_replies_of_one_that_hangs_up),
        helper_test(test_from_many_that_hang_up),
        helper_test(test_from_more_than_there_are_places),
        helper_test(test_before_anybody_accepts),
        helper_test(test_from_one_that_is_turned_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

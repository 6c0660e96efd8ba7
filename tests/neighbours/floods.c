/* SPDX-License-Identifier: MIT */
/* Many packets, many lives, many halves of a request: whatever a VMM or a manager does,
 * another VMM's opens are answered, and rightly. */
#include "events.h"
#include "scene.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct helper *start(const char *limit) {
    return scene_start((const char *[]){"--limit", "events=2000", "--limit",
                                        limit ? limit : "connections=32", NULL});
}

/* Hangs up one that connected last. There are too many to keep them all. */
static void leave_for_good(struct helper *helper, struct client *client) {
    assert_ptr_equal(helper->clients, client);
    helper->clients = client->next;
    client_free(client);
}

#define NEIGHBOURS 6

static void connect_neighbours(struct helper *helper, struct client **neighbours) {
    for (int i = 0; i < NEIGHBOURS; i++)
        neighbours[i] = helper_connect(helper, ROLE(VMM), "neighbour");
}

/* They never read, and hang up with everything unread. */
static void test_some_that_never_read_and_die(void **state) {
    struct helper *helper = start(NULL);
    struct client *neighbours[NEIGHBOURS];
    uint8_t packet[FDSET_MAX_PACKET_BYTES];
    size_t length = pack_open_many(packet, 7, 1);

    for (int round = 0; round < 10; round++) {
        connect_neighbours(helper, neighbours);
        for (int i = 0; i < NEIGHBOURS; i++)
            assert_true(client_flood(neighbours[i], packet, length) > 0);
        victim_expect_served(helper);
        for (int i = 0; i < NEIGHBOURS; i++) {
            client_hang_up(neighbours[i]);
            victim_expect_served(helper);
        }
        wait_until(client_totals(helper->manager).connections == 2);
    }
    client_wait_idle(helper->manager);
}

/* ----------------------------------------------------------- come, and gone */

static void test_one_that_dies_and_comes_back(void **state) {
    struct helper *helper = start(NULL);
    uint8_t packet[FDSET_MAX_PACKET_BYTES];
    size_t length = pack_open_many(packet, 7, 3);

    for (int life = 0; life < 1000; life++) {
        struct client *neighbour = helper_connect(helper, ROLE(VMM), "cat");
        client_send_bytes(neighbour, packet, length, NULL, 0);
        if (life % 2)
            assert_int_equal(client_answer(neighbour, 7)->descriptors, 3);
        leave_for_good(helper, neighbour);
        if (life % 10 == 0)
            victim_expect_served(helper);
    }
    wait_until(client_totals(helper->manager).connections == 2);
    client_wait_idle(helper->manager);
    assert_int_equal(client_totals(helper->manager).accepted, 2 + 1000);
}

/* A request of three descriptors that ends at each byte, or has a wrong one. */
static void test_one_that_breaks_off_at_each_byte(void **state) {
    struct helper *helper = start(NULL);
    struct new_member members[3] = {{.fd = scene_log(), .opaque = "label"}, {.fd = scene_log()}};
    struct new_set set = {50, LIFETIME(CONNECTION), members, 3};
    uint8_t packet[FDSET_MAX_PACKET_BYTES], broken[FDSET_MAX_PACKET_BYTES];
    struct client *own = client_new(-1);
    int pair[2], fds[] = {scene_log(), scene_log(), scene_log()};
    struct packet_info info;

    members[2] = members[1];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    own->socket = pair[0];
    client_send_add(own, &set, 1);
    struct packet_descriptors sent;
    assert_int_equal(packet_receive(pair[1], packet, &sent, 0, &info), 0);
    packet_descriptors_close(&sent);
    close(pair[1]);
    client_free(own);

    for (size_t at = 0; at <= info.length; at++)
        for (int kind = 0; kind < 2 && at + (size_t)kind <= info.length; kind++) {
            struct client *neighbour = helper_connect(helper, ROLE(MANAGER), "breaks off");
            memcpy(broken, packet, info.length);
            if (kind == 1)
                broken[at] ^= 0xff;
            client_send_bytes(neighbour, broken, kind ? info.length : at, fds, 3);
            leave_for_good(helper, neighbour);
            if (at % 8 == 0)
                victim_expect_served(helper);
        }
    wait_until(client_totals(helper->manager).connections == 2);
    wait_until(client_totals(helper->manager).sets == 2);
    client_wait_settled(helper->manager);
    assert_held(helper, scene_log(), 1);
}

/* It breaks off before, between and after its packets, greeted or not. */
static void test_one_that_breaks_off_at_each_packet(void **state) {
    struct helper *helper = start(NULL);
    struct new_member member = {.fd = scene_log()};
    struct new_set set = {50, LIFETIME(CONNECTION), &member, 1};

    for (int round = 0; round < 100; round++)
        for (int packets = 0; packets < 4; packets++) {
            struct client *neighbour = helper_connect_silent(helper, ROLE(MANAGER));
            Fdset__V1__Hello hello = FDSET__V1__HELLO__INIT;
            Request request = FDSET__V1__REQUEST__INIT;
            hello.version = 1;
            request.body_case = FDSET__V1__REQUEST__BODY_HELLO;
            request.hello = &hello;
            if (packets > 0)
                client_send(neighbour, &request, NULL, 0);
            if (packets > 1)
                client_send_add(neighbour, &set, 1);
            if (packets > 2)
                client_send_bytes(neighbour, "\xff", 1, (int[]){scene_log()}, 1);
            leave_for_good(helper, neighbour);
        }
    victim_expect_served(helper);
    wait_until(client_totals(helper->manager).connections == 2);
    wait_until(client_totals(helper->manager).sets == 2);
}

/* ------------------------------------------------------------- to the limits */

static void test_one_that_opens_to_the_limit(void **state) {
    struct helper *helper = start("leases-per-vmm=1000");
    struct client *neighbour = helper_connect(helper, ROLE(VMM), "greedy");
    struct wanted wanted[250];
    struct opened results[250];

    for (int i = 0; i < 250; i++)
        wanted[i] = (struct wanted){"/dev/fdset/2", O_RDONLY};
    for (int round = 0; round < 6; round++) {
        client_open_many(neighbour, wanted, 250, results);
        for (int i = 0; i < 250; i++) {
            assert_int_equal(results[i].code, round < 4 ? 0 : CODE(LIMIT));
            if (results[i].fd >= 0)
                harness_close(results[i].fd);
        }
        victim_expect_served(helper);
    }
    client_hang_up(neighbour);
    victim_expect_served(helper);
    client_wait_idle(helper->manager);
}

static void test_a_manager_that_adds_to_the_limit(void **state) {
    struct helper *helper = start("members=600");
    struct client *neighbour = helper_connect(helper, ROLE(MANAGER), "collector");
    struct new_member members[100];
    struct new_set set = {50, LIFETIME(CONNECTION), members, 100};
    int added = 0;

    for (int i = 0; i < 100; i++)
        members[i] = (struct new_member){.fd = scene_log()};
    for (int round = 0; round < 20; round++) {
        Reply *reply = client_add(neighbour, &set, 1);
        if (reply->body_case == REPLY(ADDED))
            added++;
        else
            assert_refused(reply, CODE(LIMIT), ENOSPC);
        victim_expect_served(helper);
    }
    assert_int_equal(added, 5);
    client_hang_up(neighbour);
    wait_until(client_totals(helper->manager).members == 2);
    client_add_one(helper->manager, 3, scene_log());
    victim_expect_served(helper);
}

/* ------------------------------------------------------------------- circles */

/* Nobody has the connection any more but a packet that nobody can receive: the
 * kernel finds that out when it looks for such, which it does as others close. */
static void test_one_whose_connection_is_in_a_circle(void **state) {
    struct helper *helper = start(NULL);
    struct client *neighbour = helper_connect(helper, ROLE(VMM), "circle");
    int pair[2];

    assert_serves(client_open_set(neighbour, 2, O_RDONLY).fd, scene_log(), O_RDONLY);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    int circle[] = {neighbour->socket, pair[0], pair[1]};
    assert_int_equal(packet_send(pair[0], (const uint8_t *)"", 1, circle, 3, 0), 0);
    close(pair[0]);
    close(pair[1]);
    client_hang_up(neighbour);
    wait_until((leave_for_good(helper, helper_connect_silent(helper, ROLE(VMM))),
                victim_expect_served(helper), client_totals(helper->manager).leases == 0));
    wait_until(client_totals(helper->manager).connections == 2);
}

/* A manager may add sockets, its own too: then it does not end before its set. */
static void test_a_manager_that_adds_its_own_connection(void **state) {
    struct helper *helper = start(NULL);
    struct client *neighbour = helper_connect(helper, ROLE(MANAGER), "snake");
    struct new_member member = {.fd = neighbour->socket, .allow_socket = true};
    struct new_set set = {50, LIFETIME(KEEP), &member, 1};

    assert_int_equal(client_add(neighbour, &set, 1)->body_case, REPLY(ADDED));
    client_hang_up(neighbour);
    victim_expect_served(helper);
    assert_int_equal(client_totals(helper->manager).connections, 3);
    client_remove(helper->manager, 50, 0);
    wait_until(client_totals(helper->manager).connections == 2);
    victim_expect_served(helper);
}

/* ---------------------------------------------------------------- subscribers */

/* Each add is an event for one that does not listen. */
static void test_one_that_subscribes_and_never_reads(void **state) {
    struct helper *helper = start("events=8");
    struct subscriber deaf = subscriber_begin(helper, NULL, ALL_KINDS);

    for (int round = 0; round < 20; round++) {
        for (int set = 10; set < 210; set++)
            client_add_one(helper->manager, set, scene_log());
        victim_expect_served(helper);
        for (int set = 10; set < 210; set++)
            client_remove(helper->manager, set, 0);
    }
    assert_true(client_totals(helper->manager).events_lost > 0);
    client_hang_up(deaf.client);
    victim_expect_served(helper);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_some_that_never_read_and_die),
        helper_test(test_one_that_dies_and_comes_back),
        helper_test(test_one_that_breaks_off_at_each_byte),
        helper_test(test_one_that_breaks_off_at_each_packet),
        helper_test(test_one_that_opens_to_the_limit),
        helper_test(test_a_manager_that_adds_to_the_limit),
        helper_test(test_one_whose_connection_is_in_a_circle),
        helper_test(test_a_manager_that_adds_its_own_connection),
        helper_test(test_one_that_subscribes_and_never_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

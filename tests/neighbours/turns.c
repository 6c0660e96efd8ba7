/* SPDX-License-Identifier: MIT */
/* Whose turn it is. Attackers and victim find the helper asleep with all that they want lying
 * before it; what happens between two opens of the victim is counted: each event has its
 * number, whether anybody listens to it or not. What one machine asks for over forty
 * connections may delay another as much as over one. */
#include "events.h"
#include "scene.h"

#include <string.h>

/* Opens of the victim that lie before the helper. */
#define TURNS 40

/* So many packets of one machine the helper may serve before it turns to another, and it may
 * have been about to turn to the victim twice. */
#define AT_ONCE 4
#define MOST    (2 * AT_ONCE)

/* As many opens as the victim has, at least, of each attacker. */
#define MANY_CONNECTIONS 40

static struct subscriber opens;

static struct helper *start(void) {
    return scene_start(
        (const char *[]){"--limit", "events=2000", "--limit", "connections=128", NULL});
}

/* More than `most` things may not have happened between two of the victim's opens. */
static void expect_in_turn(struct helper *helper, const uint32_t *serials, uint64_t most) {
    struct opened opened[TURNS];
    uint64_t last = 0;

    for (int i = 0; i < TURNS; i++) {
        opened[i] = client_opened(helper->vmm, serials[i]);
        assert_serves(opened[i].fd, scene_log(), O_RDONLY);
    }
    for (int i = 0; i < TURNS;) {
        Event *event = event_await(&opens, EVENT(OPENED), SHARED);
        if (strcmp(event->name, "test vmm") != 0)
            continue;
        if (i++ > 0 && event->sequence - last > most)
            fail_msg("between two opens %u things happened, %u are allowed",
                     (unsigned)(event->sequence - last), (unsigned)most);
        last = event->sequence;
    }
    assert_int_equal(opens.lost, 0);
    for (int i = 0; i < TURNS; i++)
        client_close(helper->vmm, &opened[i]);
}

/* Of the victim, while the helper sleeps. */
static void ask_for_opens(struct helper *helper, uint32_t *serials) {
    for (int i = 0; i < TURNS; i++)
        serials[i] = client_send_open(helper->vmm, "/dev/fdset/2", O_RDONLY);
}

/* `weight` is how many events one packet makes. */
static void flood_while_it_sleeps(struct helper *helper, int count, const uint8_t *packet,
                                  size_t length, uint64_t weight) {
    struct client *attackers[MANY_CONNECTIONS];
    uint32_t serials[TURNS];

    for (int i = 0; i < count; i++) {
        attackers[i] = attacker_connect(helper);
        assert_non_null(attackers[i]);
    }
    opens = subscriber_begin(helper, (int[]){EVENT(OPENED)}, 1);
    helper_pause(helper);
    for (int i = 0; i < count; i++)
        assert_true(client_flood(attackers[i], packet, length) > 0);
    ask_for_opens(helper, serials);
    helper_go_on(helper);
    expect_in_turn(helper, serials, MOST * weight + 1);
    victim_expect_served(helper);
}

/* What is refused costs no descriptor that would slow the attackers down. */
static size_t pack_refused(uint8_t *packet, size_t count) {
    Fdset__V1__Open open = FDSET__V1__OPEN__INIT, *pointers[FDSET_MAX_OPENS];
    Fdset__V1__OpenMany many = FDSET__V1__OPEN_MANY__INIT;
    Request request = FDSET__V1__REQUEST__INIT;

    open.path = (char *)"/dev/fdset/9";
    for (size_t i = 0; i < count; i++)
        pointers[i] = &open;
    many.opens = pointers;
    many.n_opens = count;
    request.serial = 7;
    request.body_case = FDSET__V1__REQUEST__BODY_OPEN_MANY;
    request.open_many = &many;
    return (size_t)packet_encode(&request.base, packet);
}

static void test_one_connection_that_floods(void **state) {
    struct helper *helper = start();
    uint8_t packet[FDSET_MAX_PACKET_BYTES];
    size_t length = pack_open_many(packet, 7, 1);

    flood_while_it_sleeps(helper, 1, packet, length, 1);
}

static void test_one_connection_with_many_opens_in_a_packet(void **state) {
    struct helper *helper = start();
    uint8_t packet[FDSET_MAX_PACKET_BYTES];
    size_t length = pack_open_many(packet, 7, 5);

    flood_while_it_sleeps(helper, 1, packet, length, 5);
}

static void test_forty_connections_that_flood(void **state) {
    struct helper *helper = start();
    uint8_t packet[FDSET_MAX_PACKET_BYTES];
    size_t length = pack_open_many(packet, 7, 1);

    flood_while_it_sleeps(helper, MANY_CONNECTIONS, packet, length, 1);
}

static void test_forty_connections_that_flood_with_what_is_refused(void **state) {
    struct helper *helper = start();
    uint8_t packet[FDSET_MAX_PACKET_BYTES];
    size_t length = pack_refused(packet, 1);

    flood_while_it_sleeps(helper, MANY_CONNECTIONS, packet, length, 1);
}

/* A packet of 250 is 250 turns' work: not four of these before the victim's next. */
static void test_forty_connections_with_very_many_in_a_packet(void **state) {
    struct helper *helper = start();
    uint8_t packet[FDSET_MAX_PACKET_BYTES];
    size_t length = pack_refused(packet, FDSET_MAX_OPENS);

    flood_while_it_sleeps(helper, MANY_CONNECTIONS, packet, length, FDSET_MAX_OPENS / AT_ONCE);
}

/* ------------------------------------------------------------------ many that end */

/* Things that may happen at once as connections end: leases given back, and the like. */
#define ENDS_AT_ONCE 600

/* Takes thousands of leases, of which the descriptors are let go at once. */
static struct client *attacker_with_leases(struct helper *helper, int packets) {
    struct client *attacker = attacker_connect(helper);
    uint8_t packet[FDSET_MAX_PACKET_BYTES];
    size_t length = pack_open_many(packet, 7, FDSET_MAX_OPENS);

    for (int i = 0; i < packets; i++) {
        client_send_bytes(attacker, packet, length, NULL, 0);
        assert_int_equal(client_answer(attacker, 7)->descriptors, FDSET_MAX_OPENS);
    }
    return attacker;
}

static void test_a_connection_of_thousands_of_leases_ends(void **state) {
    struct helper *helper = start();
    struct client *attacker = attacker_with_leases(helper, 30);
    uint32_t serials[TURNS];

    opens = subscriber_begin(helper, (int[]){EVENT(OPENED)}, 1);
    helper_pause(helper);
    ask_for_opens(helper, serials);
    client_hang_up(attacker);
    helper_go_on(helper);
    expect_in_turn(helper, serials, ENDS_AT_ONCE);
    client_wait_idle(helper->manager);
}

/* By a packet, of which the numbers that are nobody's are ignored. */
static void test_a_close_of_thousands_of_leases(void **state) {
    struct helper *helper = start();
    struct client *attacker = attacker_with_leases(helper, 20);
    static uint64_t leases[20 * FDSET_MAX_OPENS + 100];
    static uint8_t packet[FDSET_MAX_PACKET_BYTES];
    Fdset__V1__Close all = FDSET__V1__CLOSE__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    uint32_t serials[TURNS];

    all.n_leases = sizeof(leases) / sizeof(leases[0]);
    for (uint32_t i = 0; i < all.n_leases; i++)
        leases[i] = i + 1;
    all.leases = leases;
    request.body_case = FDSET__V1__REQUEST__BODY_CLOSE;
    request.close = &all;
    int length = packet_encode(&request.base, packet);
    assert_true(length > 0);
    opens = subscriber_begin(helper, (int[]){EVENT(OPENED)}, 1);
    helper_pause(helper);
    ask_for_opens(helper, serials);
    client_send_bytes(attacker, packet, (size_t)length, NULL, 0);
    helper_go_on(helper);
    expect_in_turn(helper, serials, ENDS_AT_ONCE);
    wait_until(client_totals(helper->manager).leases == 0);
    victim_expect_served(helper);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_one_connection_that_floods),
        helper_test(test_one_connection_with_many_opens_in_a_packet),
        helper_test(test_forty_connections_that_flood),
        helper_test(test_forty_connections_that_flood_with_what_is_refused),
        helper_test(test_forty_connections_with_very_many_in_a_packet),
        helper_test(test_a_connection_of_thousands_of_leases_ends),
        helper_test(test_a_close_of_thousands_of_leases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

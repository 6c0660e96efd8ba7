/* SPDX-License-Identifier: MIT */
/* Descriptors on their way. The kernel counts those that a user has sent and that nobody has
 * received yet, over all sockets and all processes of that user, and sends no more where there
 * are too many: who never reads could use them up for everybody. */
#include "scene.h"

#include "other-helper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As many in one packet as there may be, and so many packets on each connection. */
#define OPENS   250
#define PACKETS 3

static void hoard(struct helper *helper, int connections) {
    struct client *attackers[64];
    int connected = 0;

    for (int i = 0; i < connections; i++) {
        struct client *attacker = attacker_connect(helper);
        if (attacker)
            attackers[connected++] = attacker;
    }
    assert_true(connected > 0);
    for (int i = 0; i < connected; i++)
        for (int packet = 0; packet < PACKETS; packet++)
            attacker_ask(attackers[i], OPENS);
    attack_settles(helper);
}

static void test_two_connections_that_never_read(void **state) {
    struct helper *helper = scene_start(NULL);
    hoard(helper, 2);
    victim_expect_served_often(helper);
}

static void test_ten_connections_that_never_read(void **state) {
    struct helper *helper = scene_start(NULL);
    hoard(helper, 10);
    victim_expect_served_often(helper);
}

static void test_fifty_connections_that_never_read(void **state) {
    struct helper *helper = scene_start(NULL);
    hoard(helper, 50);
    victim_expect_served_often(helper);
}

/* The victim asks for as many at once as there may be, and reads. */
static void test_a_victim_that_opens_many_at_once(void **state) {
    struct helper *helper = scene_start(NULL);
    struct wanted wanted[OPENS];
    struct opened results[OPENS];
    uint64_t leases[OPENS];

    hoard(helper, 50);
    for (int i = 0; i < OPENS; i++)
        wanted[i] = (struct wanted){"/dev/fdset/2", O_RDONLY};
    for (int round = 0; round < 4; round++) {
        client_open_many(helper->vmm, wanted, OPENS, results);
        for (int i = 0; i < OPENS; i++) {
            assert_int_equal(results[i].code, 0);
            leases[i] = results[i].lease;
            harness_close(results[i].fd);
        }
        client_close_leases(helper->vmm, leases, OPENS);
    }
}

/* Each of them sends one open at a time, so that no packet has many. */
static void test_single_opens_that_nobody_reads(void **state) {
    struct helper *helper = scene_start(NULL);
    uint8_t packet[FDSET_MAX_PACKET_BYTES];
    size_t length = pack_open_many(packet, 7, 1);

    for (int i = 0; i < 50; i++) {
        struct client *attacker = attacker_connect(helper);
        if (attacker)
            client_flood(attacker, packet, length);
    }
    attack_settles(helper);
    victim_expect_served_often(helper);
}

/* Both helpers run as one user, for whom the kernel counts. */
static void test_a_victim_on_another_helper_of_the_same_user(void **state) {
    struct helper *helper = scene_start(NULL);
    struct other_helper other;

    other_helper_start(&other, helper);
    hoard(helper, 50);
    for (int i = 0; i < ROUNDS; i++)
        other_helper_expect_served(&other);
    victim_expect_served_often(helper);
    other_helper_end(&other);
}

/* Attackers on both. */
static void test_two_helpers_of_one_user_that_are_both_attacked(void **state) {
    struct helper *helper = scene_start(NULL);
    struct other_helper other;

    other_helper_start(&other, helper);
    hoard(helper, 50);
    other_helper_hoard(&other, 50, OPENS, PACKETS);
    for (int i = 0; i < ROUNDS; i++)
        other_helper_expect_served(&other);
    victim_expect_served_often(helper);
    other_helper_end(&other);
}

/* How often its main thread has gone to sleep. */
static unsigned long sleeps(const struct helper *helper) {
    static const char name[] = "\nvoluntary_ctxt_switches:";
    char path[64], text[8192] = "";

    snprintf(path, sizeof(path), "/proc/%d/status", helper->pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    const char *found = strstr(text, name);
    assert_non_null(found);
    return strtoul(found + strlen(name), NULL, 10);
}

/* What they have asked for is not tried again and again: in the half second that passes as a
 * wait in vain that would be at each tick of the clock, some 140 times and not 30. */
static void test_the_helper_sleeps_beside_them(void **state) {
    struct helper *helper = scene_start(NULL);

    hoard(helper, 50);
    unsigned long before = sleeps(helper);
    struct opened opened = client_opened(
        helper->vmm, client_send_patient_open(helper->vmm, "/dev/fdset/9", O_RDONLY, 500));
    assert_int_equal(opened.code, CODE(NO_SET));
    assert_in_range(sleeps(helper) - before, 0, 80);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_two_connections_that_never_read),
        helper_test(test_ten_connections_that_never_read),
        helper_test(test_fifty_connections_that_never_read),
        helper_test(test_a_victim_that_opens_many_at_once),
        helper_test(test_single_opens_that_nobody_reads),
        helper_test(test_the_helper_sleeps_beside_them),
        helper_test(test_a_victim_on_another_helper_of_the_same_user),
        helper_test(test_two_helpers_of_one_user_that_are_both_attacked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

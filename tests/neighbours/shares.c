/* SPDX-License-Identifier: MIT */
/* What a helper has so many of: leases, waiting opens, holds, connections. One virtual machine
 * takes all that it gets, over as many connections as it gets; another has its share none the
 * less. */
#include "scene.h"

#include <stdio.h>

/* More connections than there are by default. */
#define MOST_CONNECTIONS 80

/* What the victim has a right to of each, at the very least. */
#define VICTIMS_LEASES 100
#define VICTIMS_WAITS  8
#define VICTIMS_HOLDS  8

static struct client *attackers[MOST_CONNECTIONS];
static int attacker_count;

static struct client *add_attacker(struct helper *helper) {
    struct client *attacker = attacker_count < MOST_CONNECTIONS ? attacker_connect(helper) : NULL;

    if (attacker)
        attackers[attacker_count++] = attacker;
    return attacker;
}

static struct helper *start(const char *const *options) {
    attacker_count = 0;
    return scene_start(options);
}

/* ---------------------------------------------------------------------- leases */

/* Takes leases until it gets no more. Returns how many it has got. */
static unsigned take_leases(struct client *attacker) {
    struct wanted wanted[FDSET_MAX_OPENS];
    struct opened results[FDSET_MAX_OPENS];
    unsigned taken = 0;

    for (int i = 0; i < FDSET_MAX_OPENS; i++)
        wanted[i] = (struct wanted){"/dev/fdset/2", O_RDONLY};
    for (bool refused = false; !refused;) {
        client_open_many(attacker, wanted, FDSET_MAX_OPENS, results);
        for (int i = 0; i < FDSET_MAX_OPENS; i++) {
            refused |= results[i].fd < 0;
            taken += results[i].fd >= 0;
            if (results[i].fd >= 0)
                harness_close(results[i].fd);
        }
    }
    return taken;
}

static void test_leases(void **state) {
    struct helper *helper = start(NULL);
    struct opened mine[VICTIMS_LEASES];
    unsigned taken = 0;

    for (int i = 0; i < 4; i++)
        taken += take_leases(add_attacker(helper));
    assert_true(taken >= VICTIMS_LEASES);
    for (int i = 0; i < VICTIMS_LEASES; i++) {
        mine[i] = client_open_set(helper->vmm, SHARED, O_RDONLY);
        assert_serves(mine[i].fd, scene_log(), O_RDONLY);
    }
    victim_expect_served_often(helper);
    for (int i = 0; i < VICTIMS_LEASES; i++)
        client_close(helper->vmm, &mine[i]);
    /* And they are not gone for good. */
    for (int i = 0; i < attacker_count; i++)
        client_hang_up(attackers[i]);
    client_wait_idle(helper->manager);
    assert_true(take_leases(attacker_connect(helper)) > 0);
}

/* Who lets go and takes again has not taken more. */
static void test_leases_that_come_and_go(void **state) {
    struct helper *helper = start((const char *[]){"--limit", "leases=600", NULL});

    for (int life = 0; life < 20; life++) {
        struct client *attacker = attacker_connect(helper);
        assert_non_null(attacker);
        take_leases(attacker);
        victim_expect_served(helper);
        client_hang_up(attacker);
        victim_expect_served(helper);
    }
    client_wait_idle(helper->manager);
}

/* ------------------------------------------------------------- opens that wait */

static bool is_refused(struct client *client, uint32_t serial) {
    Request request = FDSET__V1__REQUEST__INIT;
    Fdset__V1__OpenMany none = FDSET__V1__OPEN_MANY__INIT;

    /* What is answered before this is a refusal: all that waits is answered later. */
    request.body_case = FDSET__V1__REQUEST__BODY_OPEN_MANY;
    request.open_many = &none;
    uint32_t barrier = client_send(client, &request, NULL, 0);
    Reply *reply = client_receive(client);
    if (reply->serial == barrier)
        return false;
    assert_int_equal(reply->serial, serial);
    assert_refused(reply, CODE(LIMIT), reply->error->error_number);
    client_answer(client, barrier);
    return true;
}

static void take_waits(struct client *attacker) {
    while (!is_refused(
        attacker, client_send_patient_open(attacker, "/dev/fdset/9", O_RDONLY, WAIT_FOREVER_MS)))
        ;
}

static void test_waiting_opens(void **state) {
    struct helper *helper = start(NULL);
    uint32_t serials[VICTIMS_WAITS];

    for (int i = 0; i < 8; i++)
        take_waits(add_attacker(helper));
    for (int i = 0; i < VICTIMS_WAITS; i++)
        serials[i] = client_begin_open(helper->vmm, "/dev/fdset/9", O_RDONLY, WAIT_FOREVER_MS);
    victim_expect_served_often(helper);
    struct new_member anyones = {.fd = scene_log(), .sharing = SHARING(SHARED)};
    client_add_set(helper->manager, 9, 0, &anyones, 1);
    for (int i = 0; i < VICTIMS_WAITS; i++) {
        struct opened opened = client_opened(helper->vmm, serials[i]);
        assert_serves(opened.fd, scene_log(), O_RDONLY);
        client_close(helper->vmm, &opened);
    }
}

/* ----------------------------------------------------------------------- holds */

static bool hold(struct client *client, int set) {
    char path[40];

    snprintf(path, sizeof(path), "/dev/fdset/%d", set);
    return client_hold(client, path)->body_case == REPLY(DONE);
}

#define HELD_SETS 100

static void test_holds(void **state) {
    struct helper *helper = start(NULL);
    struct client *attacker;
    bool refused = false;

    for (int set = 10; set < 10 + HELD_SETS; set++)
        client_add_one(helper->manager, set, scene_log());
    while (!refused && (attacker = add_attacker(helper)))
        for (int set = 10; set < 10 + HELD_SETS && !refused; set++)
            refused = !hold(attacker, set);
    for (int set = 10; set < 10 + VICTIMS_HOLDS; set++)
        assert_true(hold(helper->vmm, set));
    victim_expect_served_often(helper);
}

/* ----------------------------------------------------------------- connections */

static void test_connections(void **state) {
    struct helper *helper = scene_start_with_path(NULL);

    attacker_count = 0;
    while (add_attacker(helper))
        ;
    assert_true(attacker_count < MOST_CONNECTIONS);
    for (int i = 0; i < 20; i++)
        victim_expect_let_in(helper);
    victim_expect_served_often(helper);
    /* Managers too. */
    struct client *manager = helper_connect(helper, ROLE(MANAGER), "manager");
    client_totals(manager);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_leases),        helper_test(test_leases_that_come_and_go),
        helper_test(test_waiting_opens), helper_test(test_holds),
        helper_test(test_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

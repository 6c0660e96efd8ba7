/* SPDX-License-Identifier: MIT */
/* What a virtual machine learns of another on the same helper, and what it can do with what is
 * the other's: nothing that the manager has not shared. */
#include "scene.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECRET "Hugo's machine"

/* The victim says so of itself; its process id is ours. */
static struct client *connect_victim(struct helper *helper) {
    return helper_connect(helper, ROLE(VMM), SECRET);
}

/* Whether the text has the number as a word. */
static bool tells_number(const char *text, long number) {
    for (; *text; text++)
        if (isdigit((unsigned char)*text)) {
            char *end;
            if (strtol(text, &end, 10) == number)
                return true;
            text = end - 1;
        }
    return false;
}

static void expect_tells_nothing(const struct opened *refused) {
    assert_int_not_equal(refused->code, 0);
    assert_null(strstr(refused->text, "test vmm"));
    assert_null(strstr(refused->text, SECRET));
    assert_false(tells_number(refused->text, (long)getpid()));
    assert_non_null(strstr(refused->text, "another VM"));
}

/* The holder is the VMM that the helper has inherited; who asks comes by the socket. */
static void test_who_holds_a_member(void **state) {
    struct helper *helper = scene_start(NULL);
    struct opened held = client_open_set(helper->vmm, VICTIMS, O_RDWR);
    struct client *attacker = attacker_connect(helper);

    struct opened refused = client_open_set(attacker, VICTIMS, O_RDWR);
    expect_tells_nothing(&refused);
    assert_int_equal(refused.code, CODE(BUSY));
    client_close(helper->vmm, &held);
}

static void test_whose_flags_are_in_the_way(void **state) {
    struct helper *helper = scene_start(NULL);
    struct opened held = client_open_set(helper->vmm, SHARED, O_RDONLY);
    struct client *attacker = attacker_connect(helper);

    struct opened refused = client_open_set(attacker, SHARED, O_RDONLY | O_DIRECT);
    expect_tells_nothing(&refused);
    client_close(helper->vmm, &held);
}

/* In an OpenMany, and of an open that waits in vain. */
static void test_by_other_requests(void **state) {
    struct helper *helper = scene_start(NULL);
    struct opened held = client_open_set(helper->vmm, VICTIMS, O_RDWR), refused;
    struct client *attacker = attacker_connect(helper);
    struct wanted wanted = {"/dev/fdset/1", O_RDWR};

    client_open_many(attacker, &wanted, 1, &refused);
    expect_tells_nothing(&refused);
    refused =
        client_opened(attacker, client_send_patient_open(attacker, "/dev/fdset/1", O_RDWR, 1));
    expect_tells_nothing(&refused);
    client_close(helper->vmm, &held);
}

/* Its own machine's other connections it may well hear of; and the manager of everybody. */
static void test_a_manager_is_told(void **state) {
    struct helper *helper = scene_start(NULL);
    struct client *victim = connect_victim(helper);
    struct opened held = client_open_set(victim, VICTIMS, O_RDWR);

    struct opened refused = client_open_set(attacker_connect(helper), VICTIMS, O_RDWR);
    assert_int_equal(refused.code, CODE(BUSY));
    SetInfo *set = client_find_set(helper->manager, VICTIMS);
    assert_string_equal(set->members[0]->leases[0]->name, SECRET);
    client_close(victim, &held);
}

/* Leases, holds and waits are by their holder: nobody ends another's. */
static void test_leases_of_others(void **state) {
    struct helper *helper = scene_start(NULL);
    struct opened held = client_open_set(helper->vmm, VICTIMS, O_RDWR);
    struct client *attacker = attacker_connect(helper);
    uint64_t leases[64];

    assert_int_equal(client_hold(helper->vmm, "/dev/fdset/1")->body_case, REPLY(DONE));
    for (uint32_t first = 0; first < 4096; first += 64) {
        for (uint32_t i = 0; i < 64; i++)
            leases[i] = first + i;
        client_close_leases(attacker, leases, 64);
    }
    assert_int_equal(client_unhold(attacker, "/dev/fdset/1")->body_case, REPLY(DONE));
    client_barrier(attacker);
    SetInfo *set = client_find_set(helper->manager, VICTIMS);
    assert_int_equal(set->members[0]->n_leases, 1);
    assert_int_equal(set->holds, 1);
    client_unhold(helper->vmm, "/dev/fdset/1");
    client_close(helper->vmm, &held);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_who_holds_a_member), helper_test(test_whose_flags_are_in_the_way),
        helper_test(test_by_other_requests),  helper_test(test_a_manager_is_told),
        helper_test(test_leases_of_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

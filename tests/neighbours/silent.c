/* SPDX-License-Identifier: MIT */
/* Connections that never say who they are. They take places, which other virtual machines do
 * not miss, and they do not keep these for ever. */
#include "scene.h"

/* More than there are by default. */
#define MOST_CONNECTIONS 80

/* They connect, and say nothing: no Hello, and no end either. */
static void test_connections_that_say_nothing(void **state) {
    struct helper *helper = scene_start_with_path("hello-seconds=2");
    struct client *silent[MOST_CONNECTIONS];

    for (int i = 0; i < MOST_CONNECTIONS; i++)
        silent[i] = helper_connect_silent(helper, ROLE(VMM));
    for (int i = 0; i < 20; i++)
        victim_expect_let_in(helper);
    /* Nor do they keep for ever what their own virtual machine has. */
    for (int i = 0; i < MOST_CONNECTIONS; i++)
        wait_until(attacker_is_gone(silent[i]));
    assert_non_null(attacker_connect(helper));
}

/* A zero byte, half a Hello, a Hello of a version that there is not: no greeting either. */
static void test_connections_that_say_half(void **state) {
    struct helper *helper = scene_start_with_path("hello-seconds=2");
    struct client *half[MOST_CONNECTIONS];

    for (int i = 0; i < MOST_CONNECTIONS; i++) {
        half[i] = helper_connect_silent(helper, ROLE(VMM));
        half[i]->may_end = true;
        client_send_bytes(half[i], "\x08\x01\x1a", (size_t)(i % 4), NULL, 0);
    }
    for (int i = 0; i < 20; i++)
        victim_expect_let_in(helper);
    for (int i = 0; i < MOST_CONNECTIONS; i++)
        wait_until(attacker_is_gone(half[i]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_connections_that_say_nothing),
        helper_test(test_connections_that_say_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The helper's time: attackers that keep it as busy as they can, with whatever costs it most,
 * at full tables. Here the victim is served, rightly, as often as it asks, and so are they;
 * whose turn it is is counted in turns.c, what one request takes in bench/budget, and how long
 * the victim waits in times.c. */
#include "acts.h"

static int next;

/* One test for each attack of the table, in its order, under its name. */
static void test_row(void **state) {
    const struct attack *attack = &attacks[next++];
    struct helper *helper = acts_start();

    attack_begin(helper, attack);
    attack_beside_victim(helper);
    attack_end(helper);
    victim_expect_served(helper);
}

int main(void) {
    struct CMUnitTest tests[ATTACKS];

    for (int i = 0; i < ATTACKS; i++)
        tests[i] = (struct CMUnitTest){attacks[i].name, test_row, harness_begin, harness_end, NULL};
    return _cmocka_run_group_tests("work", tests, ATTACKS, NULL, NULL);
}

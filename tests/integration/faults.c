/* Faults found in the helper and not yet mended there: built, but not run by
 * `meson test`. Once mended, each belongs in the file named beside it. */
#include "harness.h"

/* To the table of open.c. Only a file's owner may set O_NOATIME, which the
 * helper, as another user, is not: it can clear it and not put it back. */
static void test_noatime_comes_back(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR | O_NOATIME);
    client_add_one(helper->manager, 1, disk);
    struct opened opened = client_open_set(helper->vmm, 1, O_RDWR);
    if (opened.fd >= 0)
        client_close(helper->vmm, &opened);
    client_wait_idle(helper->manager);
    assert_serves(disk, disk, O_RDWR | O_NOATIME);
}

/* To waiting.c. The lost ones lie before the first of the events that tell of
 * them, as the sequence numbers must show. */
static void test_lost_events_are_told_of_where_they_were(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *slow = helper_connect(helper, ROLE(OBSERVER), "slow");
    const unsigned opens = 20000;
    uint64_t sequence = 0, lost = 0;
    client_subscribe(slow);
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    for (unsigned i = 0; i < opens; i++) {
        struct opened opened = client_open_set(helper->vmm, 1, O_RDWR);
        client_close(helper->vmm, &opened);
    }
    while (lost == 0) {
        Fdset__V1__Events *events = client_answer(slow, 0)->events;
        lost += events->lost;
        if (sequence > 0)
            assert_int_equal(events->events[0]->sequence, sequence + events->lost + 1);
        sequence = events->events[events->n_events - 1]->sequence;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_noatime_comes_back),
        helper_test(test_lost_events_are_told_of_where_they_were),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

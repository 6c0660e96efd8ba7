/* Opens that wait for a descriptor, holds, and the events that tell of it all. */
#include "harness.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* As good as for ever: nothing here waits for it to run out. */
#define LONG_MS 3600000

static struct client *subscriber(struct helper *helper) {
    struct client *client = helper_connect(helper, ROLE(OBSERVER), "listens");
    client_subscribe(client);
    return client;
}

/* ------------------------------------------------------------------ waiting */

static void test_wait_for_a_set(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *events = subscriber(helper);
    int disk = file_open("disk", O_RDWR);
    uint32_t serial = client_send_patient_open(helper->vmm, "/dev/fdset/1", O_RDWR, LONG_MS);
    const Event *wanted = client_event(events, EVENT(WANTED));
    assert_string_equal(wanted->path, "/dev/fdset/1");
    assert_int_equal(wanted->flags, O_RDWR);
    assert_int_equal(wanted->code, CODE(NO_SET));
    assert_int_equal(wanted->wait_ms, LONG_MS);
    assert_int_equal(wanted->pid, getpid());
    assert_string_equal(wanted->name, "test vmm");

    QueryReply *page = client_query(helper->manager, SET_ALL, NULL);
    assert_int_equal(page->n_waiting, 1);
    assert_string_equal(page->waiting[0]->path, "/dev/fdset/1");
    client_add_one(helper->manager, 1, disk);
    assert_serves(client_opened(helper->vmm, serial).fd, disk, O_RDWR);
    assert_int_equal(client_totals(helper->manager).waiting, 0);
}

/* What QEMU's read-only to read-write reopen needs: the manager passes the
 * descriptor in the moment in which it is wanted. */
static void test_wait_for_a_mode(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *events = subscriber(helper);
    int ro = file_open("disk", O_RDONLY), rw = file_open("disk", O_RDWR);
    client_add_one(helper->manager, 1, ro);
    uint32_t serial = client_send_patient_open(helper->vmm, "/dev/fdset/1", O_RDWR, LONG_MS);
    assert_int_equal(client_event(events, EVENT(WANTED))->code, CODE(MODE));
    /* One that waits holds up no other. */
    assert_serves(client_open_set(helper->vmm, 1, O_RDONLY).fd, ro, O_RDONLY);
    client_add_one(helper->manager, 1, rw);
    assert_serves(client_opened(helper->vmm, serial).fd, rw, O_RDWR);
}

static void test_wait_for_a_busy_member(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *second = helper_connect(helper, ROLE(VMM), "second");
    struct client *third = helper_connect(helper, ROLE(VMM), "third");
    int disk = file_open("disk", O_RDWR);
    client_add_one(helper->manager, 1, disk);
    struct opened first = client_open_set(helper->vmm, 1, O_RDWR);
    uint32_t second_serial = client_send_patient_open(second, "/dev/fdset/1", O_RDWR, LONG_MS);
    client_barrier(second);
    uint32_t third_serial = client_send_patient_open(third, "/dev/fdset/1", O_RDWR, LONG_MS);
    client_barrier(third);

    /* First come, first served. */
    client_close(helper->vmm, &first);
    assert_serves(client_opened(second, second_serial).fd, disk, O_RDWR);
    assert_int_equal(client_totals(helper->manager).waiting, 1);
    client_hang_up(second);
    assert_serves(client_opened(third, third_serial).fd, disk, O_RDWR);
}

static void test_wait_runs_out(void **state) {
    struct helper *helper = helper_start(NULL);
    client_add_one(helper->manager, 1, file_open("disk", O_RDONLY));
    uint32_t serial = client_send_patient_open(helper->vmm, "/dev/fdset/1", O_RDWR, 20);
    struct opened opened = client_opened(helper->vmm, serial);
    assert_int_equal(opened.code, CODE(MODE));
    assert_int_equal(opened.error, EACCES);
    Totals totals = client_totals(helper->manager);
    assert_int_equal(totals.waited, 1);
    assert_int_equal(totals.expired, 1);
}

static void test_nothing_to_wait_for(void **state) {
    struct helper *helper = helper_start(NULL);
    uint32_t serial = client_send_patient_open(helper->vmm, "/etc/passwd", O_RDWR, LONG_MS);
    assert_int_equal(client_opened(helper->vmm, serial).code, CODE(PATH));
    serial = client_send_patient_open(helper->vmm, "/dev/fdset/1", O_RDWR, LONG_MS + 1);
    assert_int_equal(client_opened(helper->vmm, serial).code, CODE(ARGUMENT));
}

static void test_hangup_cancels_a_wait(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *vmm = helper_connect(helper, ROLE(VMM), "impatient");
    client_send_patient_open(vmm, "/dev/fdset/1", O_RDWR, LONG_MS);
    client_barrier(vmm);
    assert_int_equal(client_totals(helper->manager).waiting, 1);
    client_hang_up(vmm);
    while (client_totals(helper->manager).waiting > 0)
        ;
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    assert_int_equal(client_totals(helper->manager).leases, 0);
}

static void test_limit_of_waiting(void **state) {
    struct helper *helper = helper_start((const char *[]){"--limit", "waiting=4", NULL});
    struct client *greedy = helper_connect(helper, ROLE(VMM), "greedy");
    int refused = 0;
    uint32_t last = 0;
    for (int i = 0; i < 10; i++)
        last = client_send_patient_open(greedy, "/dev/fdset/1", O_RDWR, LONG_MS);
    /* The replies are those that were refused, the last among them. */
    for (Reply *reply = client_receive(greedy);; reply = client_receive(greedy)) {
        assert_refused(reply, CODE(LIMIT), ENFILE);
        refused++;
        if (reply->serial == last)
            break;
    }
    assert_true(refused >= 6);
    /* There is room left for another. */
    uint32_t serial = client_send_patient_open(helper->vmm, "/dev/fdset/2", O_RDONLY, LONG_MS);
    client_barrier(helper->vmm);
    client_add_one(helper->manager, 2, file_open("disk", O_RDONLY));
    assert_true(client_opened(helper->vmm, serial).fd >= 0);
}

/* -------------------------------------------------------------------- holds */

static void test_hold_keeps_an_orphaned_set(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *manager = helper_connect(helper, ROLE(MANAGER), "goes");
    int disk = file_open("disk", O_RDWR);
    client_add_one(manager, 1, disk);
    assert_int_equal(client_hold(helper->vmm, "/dev/fdset/1")->body_case, REPLY(DONE));
    assert_int_equal(client_hold(helper->vmm, "/dev/fdset/1")->body_case, REPLY(DONE));
    assert_int_equal(client_totals(helper->manager).holds, 1);
    client_hang_up(manager);
    while (client_totals(helper->manager).connections > 2)
        ;
    struct opened opened = client_open_set(helper->vmm, 1, O_RDWR);
    assert_serves(opened.fd, disk, O_RDWR);
    client_close(helper->vmm, &opened);
    assert_int_equal(client_unhold(helper->vmm, "/dev/fdset/1")->body_case, REPLY(DONE));
    client_wait_idle(helper->manager);
    assert_int_equal(client_totals(helper->manager).sets, 0);
}

static void test_hold_ends_with_its_vmm(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *vmm = helper_connect(helper, ROLE(VMM), "holds");
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    client_hold(vmm, "/dev/fdset/1");
    client_remove(helper->manager, 1, 0);
    client_wait_settled(helper->manager);
    assert_int_equal(client_totals(helper->manager).sets, 1);
    client_hang_up(vmm);
    while (client_totals(helper->manager).sets > 0)
        ;
}

static void test_hold_of_what_is_not_there(void **state) {
    struct helper *helper = helper_start(NULL);
    assert_refused(client_hold(helper->vmm, "/dev/fdset/1"), CODE(NO_SET), ENOENT);
    assert_refused(client_hold(helper->vmm, "/dev/fdset/01"), CODE(PATH), EINVAL);
    assert_refused(client_hold(helper->manager, "/dev/fdset/1"), CODE(ROLE), EPERM);
}

/* ------------------------------------------------------------------- events */

static void test_events_of_a_life(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *events = subscriber(helper);
    struct client *vmm = helper_connect(helper, ROLE(VMM), "vm1");
    assert_string_equal(client_event(events, EVENT(VMM_CONNECTED))->name, "vm1");
    uint32_t member = client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    const Event *event = client_event(events, EVENT(ADDED));
    assert_int_equal(event->set, 1);
    assert_int_equal(event->member, member);
    uint64_t sequence = event->sequence;

    client_open_set(vmm, 1, O_RDONLY);
    event = client_event(events, EVENT(DENIED));
    assert_int_equal(event->code, CODE(MODE));
    assert_string_equal(event->path, "/dev/fdset/1");
    struct opened opened = client_open_set(vmm, 1, O_RDWR);
    event = client_event(events, EVENT(OPENED));
    assert_int_equal(event->lease, opened.lease);
    assert_int_equal(event->member, member);
    assert_string_equal(event->name, "vm1");
    assert_int_equal(event->sequence, sequence + 2);
    client_hang_up(vmm);
    assert_int_equal(client_event(events, EVENT(CLOSED))->lease, opened.lease);
    assert_string_equal(client_event(events, EVENT(VMM_GONE))->name, "vm1");
    client_remove(helper->manager, 1, 0);
    assert_int_equal(client_event(events, EVENT(REMOVED))->member, member);
    assert_int_equal(client_event(events, EVENT(SET_GONE))->set, 1);
}

/* Loses events, is told how many, and holds nobody up. */
static void test_subscriber_that_does_not_read(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *slow = subscriber(helper);
    const unsigned opens = 20000;
    uint64_t heard = 0, lost = 0;
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    for (unsigned i = 0; i < opens; i++) {
        struct opened opened = client_open_set(helper->vmm, 1, O_RDWR);
        client_close(helper->vmm, &opened);
    }
    client_barrier(helper->vmm);
    while (heard + lost < 2 * opens + 1) {
        Reply *reply = client_answer(slow, 0);
        assert_int_equal(reply->body_case, REPLY(EVENTS));
        heard += reply->events->n_events;
        lost += reply->events->lost;
    }
    assert_int_equal(heard + lost, 2 * opens + 1);
    assert_true(lost > 0);
    assert_int_equal(client_totals(helper->manager).events_lost, lost);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_wait_for_a_set),         helper_test(test_wait_for_a_mode),
        helper_test(test_wait_for_a_busy_member), helper_test(test_wait_runs_out),
        helper_test(test_nothing_to_wait_for),    helper_test(test_hangup_cancels_a_wait),
        helper_test(test_limit_of_waiting),       helper_test(test_hold_keeps_an_orphaned_set),
        helper_test(test_hold_ends_with_its_vmm), helper_test(test_hold_of_what_is_not_there),
        helper_test(test_events_of_a_life),       helper_test(test_subscriber_that_does_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

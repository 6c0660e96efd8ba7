/* SPDX-License-Identifier: MIT */
/* Opens that wait for what is not there yet: a manager hears what is wanted,
 * passes it, and the open succeeds, with no command in between. */
#include "child.h"
#include "events.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DISK "/dev/fdset/1"

static const int wanted_events[] = {EVENT(WANTED)};

static uint32_t begin(struct client *vmm, const char *path, int flags) {
    return client_begin_open(vmm, path, flags, WAIT_FOREVER_MS);
}

static void expect_waiting(struct helper *helper, unsigned count) {
    assert_int_equal(client_totals(helper->manager).waiting, count);
}

static void expect_served(struct client *vmm, uint32_t serial, int original, int flags) {
    struct opened opened = client_opened(vmm, serial);
    if (opened.fd < 0)
        fail_msg("not opened: %s", opened.text);
    assert_serves(opened.fd, original, flags);
}

/* ------------------------------------------------------- what is waited for */

static void test_wanted_then_added_then_opened(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber manager = subscriber_begin(helper, wanted_events, 1);
    int disk = file_open("disk", O_RDWR);
    uint32_t serial = begin(helper->vmm, DISK, O_RDWR | O_DIRECT);

    Event *event = event_expect(&manager, EVENT(WANTED));
    assert_string_equal(event->path, DISK);
    assert_int_equal(event->flags, O_RDWR | O_DIRECT);
    assert_int_equal(event->code, CODE(NO_SET));
    assert_int_equal(event->wait_ms, WAIT_FOREVER_MS);
    assert_string_equal(event->name, "test vmm");
    assert_int_equal(event->pid, getpid());
    assert_true(event->connection > 0);

    /* The path, flags and code are all that the manager needs to know. */
    assert_int_equal(strcmp(event->path, DISK), 0);
    client_add_one(helper->manager, 1, disk);
    expect_served(helper->vmm, serial, disk, O_RDWR | O_DIRECT);
    Totals totals = client_totals(helper->manager);
    assert_int_equal(totals.waiting, 0);
    assert_int_equal(totals.waited, 1);
    assert_int_equal(totals.opens, 1);
    assert_int_equal(totals.denied, 0);
}

/* A reopen for writing of a disk that was there for reading: QEMU's
 * block-commit, without the manager's having to foresee it. */
static void test_a_mode_that_comes(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber manager = subscriber_begin(helper, wanted_events, 1);
    int reading = file_open("disk", O_RDONLY), writing = file_open("disk", O_RDWR);
    client_add_one(helper->manager, 1, reading);
    struct opened old = client_open(helper->vmm, DISK, O_RDONLY);
    uint32_t serial = begin(helper->vmm, DISK, O_RDWR);
    assert_int_equal(event_expect(&manager, EVENT(WANTED))->code, CODE(MODE));
    client_add_one(helper->manager, 1, writing);
    expect_served(helper->vmm, serial, writing, O_RDWR);
    assert_serves(old.fd, reading, O_RDONLY);
}

static void test_each_thing_that_can_come(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber manager = subscriber_begin(helper, wanted_events, 1);
    struct client *other = helper_connect(helper, ROLE(VMM), "other vm");
    int disk = file_open("disk", O_RDWR), synced = file_open("disk", O_RDWR | O_SYNC);
    uint32_t member = client_add_one(helper->manager, 1, disk);

    uint32_t serial = begin(other, DISK, O_RDWR | O_SYNC);
    assert_int_equal(event_expect(&manager, EVENT(WANTED))->code, CODE(SYNC));
    uint32_t second = client_add_one(helper->manager, 1, synced);
    expect_served(other, serial, synced, O_RDWR | O_SYNC);
    client_remove(helper->manager, 1, second);

    struct opened mine = client_open(helper->vmm, DISK, O_RDWR);
    serial = begin(other, DISK, O_RDWR);
    assert_int_equal(event_expect(&manager, EVENT(WANTED))->code, CODE(BUSY));
    client_close(helper->vmm, &mine);
    expect_served(other, serial, disk, O_RDWR);

    client_remove(helper->manager, 1, member);
    serial = begin(helper->vmm, DISK, O_RDWR);
    assert_int_equal(event_expect(&manager, EVENT(WANTED))->code, CODE(EMPTY_SET));
    client_add_one(helper->manager, 1, disk);
    expect_served(helper->vmm, serial, disk, O_RDWR);

    /* What never can is not waited for. */
    serial = client_send_patient_open(helper->vmm, DISK, O_ACCMODE, WAIT_FOREVER_MS);
    assert_int_equal(client_opened(helper->vmm, serial).code, CODE(MODE));
}

static void test_a_name_that_comes(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR);
    struct new_member member = {.fd = disk};
    uint32_t serial = begin(helper->vmm, "/dev/fdset/disk0", O_RDWR);
    client_add_one(helper->manager, 1, file_open("other", O_RDWR));
    expect_waiting(helper, 1);
    client_add_new(helper->manager, (struct new_set){SET_NEW, 0, &member, 1, "disk0"});
    expect_served(helper->vmm, serial, disk, O_RDWR);
}

/* What was there for a while is found by it as well. */
static void test_a_set_that_gets_its_name(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR);
    struct new_member reader = {.fd = file_open("disk", O_RDONLY)};
    client_add_one(helper->manager, 1, disk);
    uint32_t serial = begin(helper->vmm, "/dev/fdset/disk0", O_RDWR);
    expect_waiting(helper, 1);
    client_add_new(helper->manager, (struct new_set){1, 0, &reader, 1, "disk0"});
    expect_served(helper->vmm, serial, disk, O_RDWR);
}

/* As an open it fails at once, and says so, however long it would wait. */
static void test_what_no_waiting_helps(void **state) {
    static const struct {
        const char *path;
        int flags;
        uint32_t wait_ms;
        int code, error;
    } cases[] = {
        {"/dev/fdset/x/y", O_RDWR, WAIT_FOREVER_MS, CODE(PATH), EINVAL},
        {"/dev/fdset/01", O_RDWR, WAIT_FOREVER_MS, CODE(PATH), EINVAL},
        {"/dev/fdset/9", O_RDWR | O_DIRECT, WAIT_FOREVER_MS, CODE(FLAGS), EINVAL},
        {DISK, O_RDWR, WAIT_FOREVER_MS + 1, CODE(ARGUMENT), EINVAL},
        {DISK, O_RDWR, UINT32_MAX, CODE(ARGUMENT), EINVAL},
    };
    struct helper *helper = helper_start(NULL);
    client_add_one(helper->manager, 9, harness_keep(open("/dev/null", O_RDWR | O_CLOEXEC)));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t serial;
        client_begin_open(helper->vmm, "/dev/fdset/99", O_RDWR, WAIT_FOREVER_MS);
        client_send_patient_open(helper->vmm, cases[i].path, cases[i].flags, cases[i].wait_ms);
        struct opened opened = client_next_opened(helper->vmm, &serial);
        assert_int_equal(serial, helper->vmm->serial);
        assert_int_equal(opened.code, cases[i].code);
        assert_int_equal(opened.error, cases[i].error);
    }
    assert_int_equal(client_totals(helper->manager).waited, sizeof(cases) / sizeof(cases[0]));
}

/* Many cannot wait: they would hold each other up. */
static void test_many_do_not_wait(void **state) {
    struct helper *helper = helper_start(NULL);
    char path[] = DISK;
    Fdset__V1__Open first = FDSET__V1__OPEN__INIT, second = FDSET__V1__OPEN__INIT;
    Fdset__V1__Open *opens[] = {&first, &second};
    Fdset__V1__OpenMany many = FDSET__V1__OPEN_MANY__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    int disk = file_open("disk", O_RDWR);
    client_add_one(helper->manager, 1, disk);
    first.path = second.path = path;
    first.flags = second.flags = O_RDWR;
    first.wait_ms = 1;
    many.opens = opens;
    many.n_opens = 2;
    request.body_case = FDSET__V1__REQUEST__BODY_OPEN_MANY;
    request.open_many = &many;
    Reply *reply = client_ask(helper->vmm, &request);
    assert_int_equal(reply->body_case, REPLY(OPENED_MANY));
    assert_int_equal(reply->opened_many->results[0]->error->code, CODE(ARGUMENT));
    assert_int_equal(reply->opened_many->results[1]->outcome_case,
                     FDSET__V1__OPENED_MANY__RESULT__OUTCOME_OPENED);
    assert_int_equal(client_totals(helper->manager).waited, 0);
}

/* --------------------------------------------------------- when time is over */

static void test_time_is_over(void **state) {
    struct helper *helper = helper_start(NULL);
    struct opened opened =
        client_opened(helper->vmm, client_send_patient_open(helper->vmm, DISK, O_RDWR, 1));
    assert_int_equal(opened.code, CODE(NO_SET));
    assert_int_equal(opened.error, ENOENT);
    assert_non_null(strstr(opened.text, "no set 1"));
    assert_non_null(strstr(opened.text, "waited"));
    Totals totals = client_totals(helper->manager);
    assert_int_equal(totals.waited, 1);
    assert_int_equal(totals.expired, 1);
    assert_int_equal(totals.denied, 1);
    assert_int_equal(totals.waiting, 0);
}

/* It fails with what is in its way at the end, not with what was at the start:
 * first there is no set, then one without the mode, then the time is over. */
static int code_at_the_end(struct helper *helper, struct subscriber *events, uint32_t wait_ms) {
    client_send_patient_open(helper->vmm, DISK, O_RDWR, wait_ms);
    assert_int_equal(event_expect(events, EVENT(WANTED))->code, CODE(NO_SET));
    client_add_one(helper->manager, 1, file_open("disk", O_RDONLY));
    struct opened opened = client_opened(helper->vmm, helper->vmm->serial);
    Event *denied = event_expect(events, EVENT(DENIED));
    assert_int_equal(denied->code, opened.code);
    assert_string_equal(denied->path, DISK);
    if (opened.code == CODE(MODE))
        assert_non_null(strstr(opened.text, "only read-only"));
    return opened.code;
}

static void test_what_is_in_the_way_at_the_end(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber events = subscriber_begin(helper, (int[]){EVENT(WANTED), EVENT(DENIED)}, 2);
    /* On a busy machine the time may be over before the set is there. */
    for (uint32_t wait_ms = 50; code_at_the_end(helper, &events, wait_ms) == CODE(NO_SET);
         wait_ms *= 2) {
        client_remove(helper->manager, 1, 0);
        wait_until(!client_find_set(helper->manager, 1));
    }
}

/* The time of one is no other's: the first to come has the longer time. */
static void test_each_has_its_own_time(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *other = helper_connect(helper, ROLE(VMM), "other vm");
    uint32_t longer = begin(helper->vmm, DISK, O_RDWR);
    assert_int_equal(client_opened(other, client_send_patient_open(other, DISK, O_RDWR, 1)).code,
                     CODE(NO_SET));
    QueryReply *page = client_query(helper->manager, SET_ALL, NULL);
    assert_int_equal(page->n_waiting, 1);
    assert_true(page->waiting[0]->expires_ms > 0);
    assert_true(page->waiting[0]->expires_ms <= WAIT_FOREVER_MS);
    int disk = file_open("disk", O_RDWR);
    client_add_one(helper->manager, 1, disk);
    expect_served(helper->vmm, longer, disk, O_RDWR);
}

/* ------------------------------------------------------------------- the end */

static void test_hanging_up_cancels(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *vmm = helper_connect(helper, ROLE(VMM), "impatient");
    begin(vmm, DISK, O_RDWR);
    begin(vmm, DISK, O_RDONLY);
    expect_waiting(helper, 2);
    client_leave(helper, vmm);
    expect_waiting(helper, 0);
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    Totals totals = client_totals(helper->manager);
    assert_int_equal(totals.leases, 0);
    assert_int_equal(totals.opens, 0);
    assert_int_equal(totals.expired, 0);
}

static void waits_for_ever(struct child_side *side) {
    begin(side->client, DISK, O_RDWR);
    parent_tell(side);
    parent_wait(side);
}

static void test_a_killed_vmm_waits_no_more(void **state) {
    struct helper *helper = helper_start(NULL);
    struct child child = child_start(helper, ROLE(VMM), "doomed", waits_for_ever, NULL);
    child_wait(&child);
    WaitingInfo *waiting = client_query(helper->manager, SET_ALL, NULL)->waiting[0];
    assert_int_equal(waiting->pid, child.pid);
    assert_string_equal(waiting->name, "doomed");
    child_kill(&child);
    wait_until(client_totals(helper->manager).waiting == 0);
    int disk = file_open("disk", O_RDWR);
    client_add_one(helper->manager, 1, disk);
    assert_serves(client_open(helper->vmm, DISK, O_RDWR).fd, disk, O_RDWR);
}

/* The helper's own end is no worse for one that waits than for any other. */
static void test_the_vmm_that_the_helper_is_for_ends(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *other = helper_connect(helper, ROLE(VMM), "other vm");
    begin(helper->vmm, DISK, O_RDWR);
    begin(other, DISK, O_RDWR);
    client_hang_up(helper->vmm);
    client_hang_up(other);
    assert_int_equal(helper_wait(helper), 0);
}

/* -------------------------------------------------------- bounds and fairness */

static void expect_no_place(struct client *vmm) {
    struct opened refused =
        client_opened(vmm, client_send_patient_open(vmm, DISK, O_RDWR, WAIT_FOREVER_MS));
    assert_int_equal(refused.code, CODE(LIMIT));
    assert_int_equal(refused.error, ENFILE);
    assert_non_null(strstr(refused.text, "waiting"));
}

/* The places that are kept for one VM are there, by however many connections another asks
 * for all. */
static void test_a_quarter_is_kept_for_each_of_two(void **state) {
    struct helper *helper = helper_start((const char *[]){"--limit", "waiting=8", NULL});
    struct client *vmms[5] = {helper->vmm};
    for (int i = 1; i < 5; i++)
        vmms[i] = helper_connect(helper, ROLE(VMM), "one of four of the other VM");
    for (int i = 0; i < 6; i++)
        begin(vmms[1 + i % 3], DISK, O_RDWR);
    for (int i = 1; i < 5; i++)
        expect_no_place(vmms[i]);
    expect_waiting(helper, 6);
    for (int i = 0; i < 2; i++)
        begin(helper->vmm, DISK, O_RDWR);
    expect_no_place(helper->vmm);
    expect_waiting(helper, 8);

    /* A place that is free again is there for who had none. */
    client_leave(helper, vmms[1]);
    begin(vmms[4], DISK, O_RDWR);
    begin(helper->vmm, DISK, O_RDWR);
    expect_no_place(vmms[4]);
    expect_waiting(helper, 8);
    client_hang_up(helper->vmm);
}

static void test_few_places_are_still_one_for_each(void **state) {
    struct helper *helper = helper_start((const char *[]){"--limit", "waiting=2", NULL});
    struct client *other = helper_connect(helper, ROLE(VMM), "other vm");
    begin(helper->vmm, DISK, O_RDWR);
    begin(other, DISK, O_RDWR);
    expect_waiting(helper, 2);
    client_hang_up(helper->vmm);
}

#define QUEUE 6

static void test_served_in_the_order_in_which_they_came(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *vmms[QUEUE];
    uint32_t serials[QUEUE];
    struct new_member member = {.fd = file_open("disk", O_RDWR), .sharing = SHARING(EXCLUSIVE)};
    client_add_set(helper->manager, 1, LIFETIME(KEEP), &member, 1);
    struct opened opened = client_open(helper->vmm, DISK, O_RDWR);
    for (int i = 0; i < QUEUE; i++) {
        vmms[i] = helper_connect(helper, ROLE(VMM), "in the queue");
        serials[i] = begin(vmms[i], DISK, O_RDWR);
    }
    client_close(helper->vmm, &opened);
    for (int i = 0; i < QUEUE; i++) {
        opened = client_opened(vmms[i], serials[i]);
        assert_int_equal(opened.code, 0);
        client_wait_settled(helper->manager);
        expect_waiting(helper, QUEUE - 1 - (unsigned)i);
        client_close(vmms[i], &opened);
    }
}

/* Who lets go and asks again at once does not overtake who has been waiting. */
static void test_no_overtaking(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *other = helper_connect(helper, ROLE(VMM), "patient");
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    struct opened mine = client_open(helper->vmm, DISK, O_RDWR);
    uint32_t serial = begin(other, DISK, O_RDWR);
    client_close(helper->vmm, &mine);
    uint32_t again = client_send_patient_open(helper->vmm, DISK, O_RDWR, WAIT_FOREVER_MS);
    struct opened theirs = client_opened(other, serial);
    assert_int_equal(theirs.code, 0);
    client_barrier(other);
    expect_waiting(helper, 1);
    client_close(other, &theirs);
    assert_int_equal(client_opened(helper->vmm, again).code, 0);
}

/* One that cannot be served holds up neither its own VMM nor the next in line. */
static void test_one_that_waits_holds_up_none(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR), log = file_open("log", O_WRONLY);
    uint32_t never = begin(helper->vmm, "/dev/fdset/77", O_RDWR);
    uint32_t second = begin(helper->vmm, "/dev/fdset/2", O_WRONLY);
    client_add_one(helper->manager, 1, disk);
    for (int i = 0; i < 100; i++) {
        struct opened opened = client_open(helper->vmm, DISK, O_RDWR);
        assert_serves(opened.fd, disk, O_RDWR);
        client_close(helper->vmm, &opened);
    }
    client_add_one(helper->manager, 2, log);
    expect_served(helper->vmm, second, log, O_WRONLY);
    expect_waiting(helper, 1);
    client_add_one(helper->manager, 77, disk);
    expect_served(helper->vmm, never, disk, O_RDWR);
}

/* A set for one open is not given to two. */
static void test_two_wait_for_a_set_of_one_open(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *other = helper_connect(helper, ROLE(VMM), "second");
    struct new_member first = {.fd = file_open("disk", O_RDONLY)};
    struct new_member next = {.fd = file_open("disk", O_RDONLY)};
    uint32_t one = begin(helper->vmm, DISK, O_RDONLY), two = begin(other, DISK, O_RDONLY);
    client_add_set(helper->manager, 1, LIFETIME(ONCE), &first, 1);
    expect_served(helper->vmm, one, first.fd, O_RDONLY);
    expect_waiting(helper, 1);
    client_add_set(helper->manager, 1, LIFETIME(ONCE), &next, 1);
    expect_served(other, two, next.fd, O_RDONLY);
}

/* ------------------------------------------------------------ what Query says */

static void test_who_waits_for_what(void **state) {
    struct helper *helper = helper_start(NULL);
    struct new_member member = {.fd = file_open("disk", O_RDONLY)};
    Query query = FDSET__V1__QUERY__INIT;
    client_add_new(helper->manager, (struct new_set){1, 0, &member, 1, "disk0"});
    begin(helper->vmm, "/dev/fdset/5", O_RDWR);
    begin(helper->vmm, "/dev/fdset/disk0", O_RDWR);
    begin(helper->vmm, "/dev/fdset/1", O_WRONLY);

    QueryReply *page = client_query(helper->manager, SET_ALL, NULL);
    assert_int_equal(page->n_waiting, 3);
    assert_string_equal(page->waiting[0]->path, "/dev/fdset/5");
    assert_int_equal(page->waiting[0]->flags, O_RDWR);
    assert_string_equal(page->waiting[1]->path, "/dev/fdset/disk0");
    assert_string_equal(page->waiting[2]->path, "/dev/fdset/1");
    assert_int_equal(page->waiting[2]->flags, O_WRONLY);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(page->waiting[i]->pid, getpid());
        assert_string_equal(page->waiting[i]->name, "test vmm");
        assert_true(i == 0 || page->waiting[i]->waiting > page->waiting[i - 1]->waiting);
    }

    /* Those of a set, by whichever path. */
    query.name = (char *)"disk0";
    page = client_query_with(helper->manager, &query);
    assert_int_equal(page->n_waiting, 2);
    page = client_query(helper->manager, 1, NULL);
    assert_int_equal(page->n_waiting, 2);
    client_hang_up(helper->vmm);
}

/* ------------------------------------------------------------ flags that come */

static void add_shared(struct helper *helper, int fd) {
    struct new_member member = {.fd = fd, .sharing = SHARING(SHARED)};
    client_add_set(helper->manager, 1, 0, &member, 1);
}

/* Another VMM has the file, changes its flags by itself to those that are waited for, and
 * opens it once more, by which the helper finds out. */
static void test_flags_that_come(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *other = helper_connect(helper, ROLE(VMM), "other");
    int disk = file_open("disk", O_RDONLY);
    add_shared(helper, disk);
    struct opened opened = client_open_set(helper->vmm, 1, O_RDONLY);
    uint32_t serial = begin(other, DISK, O_RDONLY | O_DIRECT);
    expect_waiting(helper, 1);
    assert_int_equal(fcntl(opened.fd, F_SETFL, O_DIRECT), 0);
    assert_true(client_open_set(helper->vmm, 1, O_RDONLY | O_DIRECT).fd >= 0);
    expect_served(other, serial, disk, O_RDONLY | O_DIRECT);
    expect_waiting(helper, 0);
}

/* A VMM that has it otherwise is found, in sending, to take no more: when all else that is
 * to be done in that turn of the helper's has been. */
static void test_flags_that_come_by_an_end(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *other = helper_connect(helper, ROLE(VMM), "other");
    struct client *deaf = helper_connect(helper, ROLE(VMM), "deaf");
    add_shared(helper, file_open("disk", O_RDONLY));
    assert_true(client_open_set(deaf, 1, O_RDONLY).fd >= 0);
    uint32_t first = begin(other, DISK, O_RDONLY | O_DIRECT);
    uint32_t second = begin(helper->vmm, DISK, O_RDONLY | O_DIRECT);
    expect_waiting(helper, 2);
    deaf->may_end = true;
    assert_int_equal(shutdown(deaf->socket, SHUT_RD), 0);
    client_send_open(deaf, "/dev/fdset/9", O_RDWR);
    assert_int_equal(client_opened(helper->vmm, second).code, 0);
    assert_int_equal(client_opened(other, first).code, 0);
}

/* The one that waits longer is for another mode than the open by which the helper finds out. */
static void test_flags_that_come_to_light_for_another(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *first = helper_connect(helper, ROLE(VMM), "first");
    struct client *second = helper_connect(helper, ROLE(VMM), "second");
    struct new_member members[] = {
        {file_open("disk", O_RDWR), NULL, SHARING(SHARED), .serves_read_only = true},
        {file_open("disk", O_RDWR), NULL, SHARING(SHARED)}};
    client_add_set(helper->manager, 1, 0, members, 2);
    client_wait_settled(helper->manager);
    client_open_set(helper->vmm, 1, O_RDWR);
    struct opened older = client_open_set(helper->vmm, 1, O_RDWR);
    assert_true(same_description(older.fd, members[0].fd));
    uint32_t patient = begin(first, DISK, O_RDWR | O_APPEND);
    uint32_t reader = begin(second, DISK, O_RDONLY | O_APPEND);
    expect_waiting(helper, 2);
    assert_int_equal(fcntl(older.fd, F_SETFL, O_APPEND), 0);
    assert_true(client_open_set(helper->vmm, 1, O_RDONLY | O_APPEND).fd >= 0);
    assert_int_equal(client_opened(second, reader).code, 0);
    assert_int_equal(client_opened(first, patient).code, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_wanted_then_added_then_opened),
        helper_test(test_a_mode_that_comes),
        helper_test(test_each_thing_that_can_come),
        helper_test(test_a_name_that_comes),
        helper_test(test_a_set_that_gets_its_name),
        helper_test(test_what_no_waiting_helps),
        helper_test(test_many_do_not_wait),
        helper_test(test_time_is_over),
        helper_test(test_what_is_in_the_way_at_the_end),
        helper_test(test_each_has_its_own_time),
        helper_test(test_hanging_up_cancels),
        helper_test(test_a_killed_vmm_waits_no_more),
        helper_test(test_the_vmm_that_the_helper_is_for_ends),
        helper_test(test_a_quarter_is_kept_for_each_of_two),
        helper_test(test_few_places_are_still_one_for_each),
        helper_test(test_served_in_the_order_in_which_they_came),
        helper_test(test_no_overtaking),
        helper_test(test_one_that_waits_holds_up_none),
        helper_test(test_two_wait_for_a_set_of_one_open),
        helper_test(test_who_waits_for_what),
        helper_test(test_flags_that_come),
        helper_test(test_flags_that_come_by_an_end),
        helper_test(test_flags_that_come_to_light_for_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

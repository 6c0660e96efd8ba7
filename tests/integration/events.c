/* SPDX-License-Identifier: MIT */
/* Events: what happens is told in the order in which it happens, to who asked
 * for it; who does not listen loses events, is told so, and holds nobody up. */
#include "events.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DISK "/dev/fdset/1"

static void expect_who(const Event *event, const char *name) {
    assert_string_equal(event->name, name);
    assert_int_equal(event->pid, getpid());
    assert_true(event->connection > 0);
}

/* --------------------------------------------------------------- each kind */

/* A set's life from the first descriptor to its end, every step of it told. */
static void test_the_life_of_a_set(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber events = subscriber_begin(helper, NULL, ALL_KINDS);

    uint32_t member = client_add_one(helper->manager, 1, file_open("disk", O_RDWR | O_APPEND));
    Event *event = event_expect_of(&events, EVENT(ADDED), 1);
    assert_int_equal(event->member, member);
    assert_int_equal(event->flags & (O_ACCMODE | O_APPEND), O_RDWR | O_APPEND);

    struct opened opened = client_open(helper->vmm, DISK, O_RDWR);
    event = event_expect_of(&events, EVENT(OPENED), 1);
    assert_int_equal(event->member, member);
    assert_int_equal(event->lease, opened.lease);
    assert_int_equal(event->flags, O_RDWR);
    expect_who(event, "test vmm");

    client_open(helper->vmm, DISK, O_RDONLY);
    event = event_expect(&events, EVENT(DENIED));
    assert_string_equal(event->path, DISK);
    assert_int_equal(event->flags, O_RDONLY);
    assert_int_equal(event->code, CODE(MODE));
    expect_who(event, "test vmm");

    client_remove(helper->manager, 1, member);
    event = event_expect_of(&events, EVENT(REMOVED), 1);
    assert_int_equal(event->member, member);

    client_close(helper->vmm, &opened);
    event = event_expect_of(&events, EVENT(CLOSED), 1);
    assert_int_equal(event->member, member);
    assert_int_equal(event->lease, opened.lease);
    expect_who(event, "test vmm");
    event_expect_of(&events, EVENT(SET_GONE), 1);
    event_expect_none(helper, &events);
}

/* What the machine's clock says, as coarsely as the helper reads it. */
static uint64_t clock_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Also one that nobody's request has made: a VMM's end. */
static void test_every_event_says_when(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber events = subscriber_begin(helper, NULL, ALL_KINDS);
    uint64_t before = clock_ms();
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    struct client *vmm = helper_connect(helper, ROLE(VMM), "second");
    client_open(vmm, DISK, O_RDWR);
    client_open(vmm, DISK, O_RDONLY);
    client_hang_up(vmm);
    for (int kind = 0; kind != EVENT(VMM_GONE);) {
        Event *event = event_next(&events);
        assert_in_range(event->time_ms, before, clock_ms());
        before = event->time_ms;
        kind = (int)event->kind;
    }
}

static void test_what_is_wanted(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber events = subscriber_begin(helper, NULL, ALL_KINDS);
    uint32_t serial = client_begin_open(helper->vmm, DISK, O_RDWR, 12345);
    Event *event = event_expect(&events, EVENT(WANTED));
    assert_int_equal(event->which_case, FDSET__V1__EVENT__WHICH__NOT_SET);
    assert_string_equal(event->path, DISK);
    assert_int_equal(event->flags, O_RDWR);
    assert_int_equal(event->code, CODE(NO_SET));
    assert_int_equal(event->wait_ms, 12345);
    expect_who(event, "test vmm");
    /* What is served in the end was not denied. */
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    event_expect_of(&events, EVENT(ADDED), 1);
    event_expect_of(&events, EVENT(OPENED), 1);
    assert_int_equal(client_opened(helper->vmm, serial).code, 0);
}

static void test_a_vmm_comes_and_goes(void **state) {
    struct helper *helper = helper_start(NULL);
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    client_add_one(helper->manager, 2, file_open("log", O_WRONLY));
    struct subscriber events = subscriber_begin(helper, NULL, ALL_KINDS);
    struct client *vmm = helper_connect(helper, ROLE(VMM), "vm-alpha");
    Event *event = event_expect(&events, EVENT(VMM_CONNECTED));
    expect_who(event, "vm-alpha");
    assert_int_equal(event->which_case, FDSET__V1__EVENT__WHICH__NOT_SET);
    uint32_t connection = event->connection;

    client_open(vmm, DISK, O_RDWR);
    client_open(vmm, "/dev/fdset/2", O_WRONLY);
    assert_int_equal(event_expect_of(&events, EVENT(OPENED), 1)->connection, connection);
    event_expect_of(&events, EVENT(OPENED), 2);

    /* Its leases have ended by the time it is gone. */
    client_hang_up(vmm);
    assert_int_equal(event_expect_of(&events, EVENT(CLOSED), 1)->connection, connection);
    event_expect_of(&events, EVENT(CLOSED), 2);
    event = event_expect(&events, EVENT(VMM_GONE));
    expect_who(event, "vm-alpha");
    assert_int_equal(event->connection, connection);

    /* Who never said Hello never came, and managers are no VMMs. */
    client_hang_up(helper_connect_silent(helper, ROLE(VMM)));
    client_hang_up(helper_connect(helper, ROLE(MANAGER), "passing"));
    client_hang_up(helper_connect(helper, ROLE(VMM), "vm-beta"));
    expect_who(event_expect(&events, EVENT(VMM_CONNECTED)), "vm-beta");
    expect_who(event_expect(&events, EVENT(VMM_GONE)), "vm-beta");
}

/* That its reply cannot be sent is how the helper finds this VMM gone; who listens
 * hears of that at once, not with what happens next. */
static void test_a_vmm_does_not_wait_for_its_reply(void **state) {
    struct helper *helper = helper_start(NULL);
    int status;
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    client_wait_settled(helper->manager);
    struct client *vmm = helper_connect(helper, ROLE(VMM), "hasty");
    struct subscriber events = subscriber_begin(helper, NULL, ALL_KINDS);

    kill(helper->pid, SIGSTOP);
    assert_int_equal(waitpid(helper->pid, &status, WUNTRACED), helper->pid);
    client_send_open(vmm, DISK, O_RDWR);
    client_hang_up(vmm);
    kill(helper->pid, SIGCONT);
    event_expect_of(&events, EVENT(OPENED), 1);
    event_expect_of(&events, EVENT(CLOSED), 1);
    expect_who(event_expect(&events, EVENT(VMM_GONE)), "hasty");
}

static void test_replaced_members(void **state) {
    struct helper *helper = helper_start(NULL);
    struct new_member member = {.fd = file_open("disk", O_RDWR)};
    uint32_t old = client_add_one(helper->manager, 1, file_open("disk", O_RDONLY));
    struct subscriber events = subscriber_begin(helper, NULL, 0);
    client_add_new(helper->manager, (struct new_set){1, 0, &member, 1, .replace = true});
    assert_int_equal(event_expect_of(&events, EVENT(REMOVED), 1)->member, old);
    assert_true(event_expect_of(&events, EVENT(ADDED), 1)->member > old);
    event_expect_none(helper, &events);
}

/* A set of one open tells of its member's removal after the open that did it. */
static void test_a_set_for_one_open(void **state) {
    struct helper *helper = helper_start(NULL);
    struct new_member member = {.fd = file_open("disk", O_RDWR)};
    struct subscriber events = subscriber_begin(helper, NULL, ALL_KINDS);
    client_add_set(helper->manager, 1, LIFETIME(ONCE), &member, 1);
    struct opened opened = client_open(helper->vmm, DISK, O_RDWR);
    client_close(helper->vmm, &opened);
    event_expect_of(&events, EVENT(ADDED), 1);
    event_expect_of(&events, EVENT(OPENED), 1);
    event_expect_of(&events, EVENT(REMOVED), 1);
    event_expect_of(&events, EVENT(CLOSED), 1);
    event_expect_of(&events, EVENT(SET_GONE), 1);
}

/* --------------------------------------------------------------- the choice */

static void open_and_close(struct client *vmm, const char *path, int flags) {
    struct opened opened = client_open(vmm, path, flags);
    if (opened.fd >= 0)
        client_close(vmm, &opened);
}

static void test_the_usual_kinds_are_without_opens(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber events = subscriber_begin(helper, NULL, 0);
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    open_and_close(helper->vmm, DISK, O_RDWR);
    open_and_close(helper->vmm, "/dev/fdset/9", O_RDWR);
    client_barrier(helper->vmm);
    client_wait_settled(helper->manager);
    client_remove(helper->manager, 1, 0);
    uint64_t before = event_expect_of(&events, EVENT(ADDED), 1)->sequence;
    /* The gap is what was not chosen: opened, closed, denied. */
    assert_int_equal(event_expect_of(&events, EVENT(REMOVED), 1)->sequence, before + 4);
    event_expect_of(&events, EVENT(SET_GONE), 1);
}

static void test_each_hears_what_it_chose(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber opens = subscriber_begin(helper, (int[]){EVENT(OPENED)}, 1);
    struct subscriber sets = subscriber_begin(helper, (int[]){EVENT(SET_GONE), EVENT(ADDED)}, 2);
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    open_and_close(helper->vmm, DISK, O_RDWR);
    client_remove(helper->manager, 1, 0);
    uint64_t opened = event_expect_of(&opens, EVENT(OPENED), 1)->sequence;
    assert_true(event_expect_of(&sets, EVENT(ADDED), 1)->sequence < opened);
    assert_true(event_expect_of(&sets, EVENT(SET_GONE), 1)->sequence > opened);
    event_expect_none(helper, &opens);
    event_expect_none(helper, &sets);
    assert_int_equal(client_totals(helper->manager).subscribers, 2);
}

static void test_the_choice_can_be_changed(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber events = subscriber_of_ends(helper);
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    event_expect_none(helper, &events);
    assert_int_equal(client_subscribe_to(events.client, (int[]){EVENT(ADDED)}, 1)->body_case,
                     REPLY(DONE));
    client_remove(helper->manager, 1, 0);
    client_wait_settled(helper->manager);
    client_add_one(helper->manager, 2, file_open("disk", O_RDWR));
    event_expect_of(&events, EVENT(ADDED), 2);
    assert_int_equal(client_totals(helper->manager).subscribers, 1);
}

/* A choice that is refused changes nothing. */
static void test_a_kind_that_there_is_not(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber events = subscriber_begin(helper, (int[]){EVENT(ADDED)}, 1);
    for (int kind = EVENT(SETTLE_STUCK) + 1; kind != 0; kind = kind > 0 ? -1 : 0)
        assert_refused(client_subscribe_to(events.client, (int[]){EVENT(OPENED), kind}, 2),
                       CODE(ARGUMENT), EINVAL);
    assert_refused(client_subscribe_to(events.client, (int[]){0}, 1), CODE(ARGUMENT), EINVAL);
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    open_and_close(helper->vmm, DISK, O_RDWR);
    event_expect_of(&events, EVENT(ADDED), 1);
    event_expect_none(helper, &events);
}

static void test_who_may_listen(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *manager = helper_connect(helper, ROLE(MANAGER), "listening manager");
    assert_refused(client_subscribe_to(helper->vmm, NULL, 0), CODE(ROLE), EPERM);
    assert_int_equal(client_subscribe_to(manager, NULL, 0)->body_case, REPLY(DONE));
    struct subscriber as_manager = {.client = manager};
    struct subscriber as_observer = subscriber_begin(helper, NULL, 0);
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    event_expect_of(&as_manager, EVENT(ADDED), 1);
    event_expect_of(&as_observer, EVENT(ADDED), 1);
}

/* A manager hears of its own deeds too, after their replies. */
static void test_a_manager_that_listens_to_itself(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber own = {.client = helper_connect(helper, ROLE(MANAGER), "alone")};
    assert_int_equal(client_subscribe_to(own.client, NULL, 0)->body_case, REPLY(DONE));
    for (int set = 1; set <= 20; set++) {
        client_add_one(own.client, set, file_open("disk", O_RDWR));
        event_expect_of(&own, EVENT(ADDED), set);
    }
    client_hang_up(own.client);
    wait_until(client_totals(helper->manager).sets == 0);
}

/* ---------------------------------------------------------------- the order */

/* Subscribed first, then asked: what Query has is not missed, and what it does
 * not have yet comes as an event. */
static void test_no_gap_between_events_and_query(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *busy = helper_connect(helper, ROLE(MANAGER), "busy");
    int disk = file_open("disk", O_RDWR), highest = -1;
    struct new_member member = {.fd = disk};
    struct new_set set = {SET_NEW, LIFETIME(KEEP), &member, 1};
    for (int i = 0; i < 5; i++)
        client_send_add(busy, &set, 1);
    struct subscriber events = subscriber_begin(helper, (int[]){EVENT(ADDED)}, 1);
    for (int i = 0; i < 5; i++)
        client_send_add(busy, &set, 1);
    QueryReply *page = client_query(helper->manager, SET_ALL, NULL);
    for (size_t i = 0; i < page->n_sets; i++)
        highest = page->sets[i]->set;
    /* The last of the ten is in the one or comes by the other. */
    while (highest < 9) {
        int next = event_expect(&events, EVENT(ADDED))->set;
        assert_true(next <= highest + 1);
        highest = next > highest ? next : highest;
    }
}

static void test_every_event_has_its_number(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber events = subscriber_begin(helper, NULL, ALL_KINDS);
    struct subscriber other = subscriber_begin(helper, NULL, ALL_KINDS);
    static const int order[] = {EVENT(ADDED), EVENT(OPENED), EVENT(CLOSED), EVENT(REMOVED),
                                EVENT(SET_GONE)};
    for (int round = 0; round < 20; round++) {
        client_add_one(helper->manager, round, file_open("disk", O_RDWR));
        open_and_close(helper->vmm, "/dev/fdset/5", O_RDWR);
        client_barrier(helper->vmm);
        client_remove(helper->manager, round, 0);
        client_wait_settled(helper->manager);
        for (size_t i = 0; i < 5; i++) {
            bool opens = order[i] == EVENT(OPENED) || order[i] == EVENT(CLOSED);
            if (opens && round != 5)
                continue;
            uint64_t last = events.sequence;
            int kind = (int)event_next(&events)->kind;
            assert_true(last == 0 || events.sequence == last + 1 || kind == EVENT(DENIED));
            if (kind == EVENT(DENIED))
                kind = (int)event_next(&events)->kind;
            assert_int_equal(kind, order[i]);
        }
    }
    /* Everyone has the same numbers. */
    while (other.sequence < events.sequence)
        event_next(&other);
    assert_int_equal(other.sequence, events.sequence);
}

/* What happens while nobody listens has its numbers too: who comes back sees by
 * the gap that there was something, and how much. */
static void test_nobody_listens(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber before = subscriber_begin(helper, NULL, ALL_KINDS);
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    uint64_t first = event_expect_of(&before, EVENT(ADDED), 1)->sequence;
    client_leave(helper, before.client);

    open_and_close(helper->vmm, DISK, O_RDWR);   /* two */
    open_and_close(helper->vmm, DISK, O_RDONLY); /* denied: one */
    client_wait_idle(helper->manager);
    client_remove(helper->manager, 1, 0); /* removed and gone: two */
    wait_until(client_totals(helper->manager).sets == 0);
    client_leave(helper, helper_connect(helper, ROLE(VMM), "vm-alpha")); /* two */

    struct subscriber after = subscriber_begin(helper, NULL, ALL_KINDS);
    client_add_one(helper->manager, 2, file_open("disk", O_RDWR));
    assert_int_equal(event_expect_of(&after, EVENT(ADDED), 2)->sequence, first + 7 + 1);
}

/* ----------------------------------------------------------------- the loss */

#define OPENS 3000

/* Nothing is read while thousands of things happen: nobody waits for that, and
 * of everything it is known in the end whether it was told or lost, and where. */
static void test_a_subscriber_that_does_not_read(void **state) {
    struct helper *helper = helper_start((const char *[]){"--limit", "events=8", NULL});
    struct subscriber deaf = subscriber_begin(helper, NULL, ALL_KINDS);
    struct subscriber awake = subscriber_begin(helper, (int[]){EVENT(ADDED)}, 1);
    client_add_one(helper->manager, 1, file_open("disk", O_RDONLY));
    for (int i = 0; i < OPENS; i++)
        open_and_close(helper->vmm, DISK, O_RDONLY);
    client_barrier(helper->vmm);
    event_expect_of(&awake, EVENT(ADDED), 1);
    Totals totals = client_totals(helper->manager);
    assert_int_equal(totals.opens, OPENS);
    assert_true(totals.events_lost > 0);
    assert_true(totals.events_lost < 2 * OPENS);

    /* 2 for each open, 1 for the add: told or lost, at the place that it says. */
    uint64_t told = 0;
    while (told + deaf.lost < 2 * OPENS + 1) {
        uint64_t last = deaf.sequence, lost = deaf.lost;
        event_next(&deaf);
        if (told++ > 0)
            assert_int_equal(deaf.sequence, last + (deaf.lost - lost) + 1);
    }
    assert_int_equal(deaf.lost, totals.events_lost);
    event_expect_none(helper, &deaf);

    /* From here on it hears everything again. */
    client_remove(helper->manager, 1, 0);
    event_expect_of(&deaf, EVENT(REMOVED), 1);
}

static void test_a_subscriber_that_hangs_up_full(void **state) {
    struct helper *helper = helper_start((const char *[]){"--limit", "events=8", NULL});
    struct subscriber deaf = subscriber_begin(helper, NULL, ALL_KINDS);
    client_add_one(helper->manager, 1, file_open("disk", O_RDONLY));
    for (int i = 0; i < 1000; i++)
        open_and_close(helper->vmm, DISK, O_RDONLY);
    client_leave(helper, deaf.client);
    assert_int_equal(client_totals(helper->manager).subscribers, 0);
    open_and_close(helper->vmm, DISK, O_RDONLY);
}

/* Replies keep their order among the events that lie between them. */
static void test_a_full_subscriber_that_asks(void **state) {
    struct helper *helper = helper_start((const char *[]){"--limit", "events=8", NULL});
    struct subscriber deaf = subscriber_begin(helper, NULL, ALL_KINDS);
    Query query = FDSET__V1__QUERY__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    request.body_case = FDSET__V1__REQUEST__BODY_QUERY;
    request.query = &query;
    client_add_one(helper->manager, 1, file_open("disk", O_RDONLY));
    for (int i = 0; i < 1000; i++)
        open_and_close(helper->vmm, DISK, O_RDONLY);
    uint32_t first = client_send(deaf.client, &request, NULL, 0);
    client_send(deaf.client, &request, NULL, 0);
    for (uint32_t next = first; next <= first + 1;) {
        Reply *reply = client_receive(deaf.client);
        assert_non_null(reply);
        if (reply->body_case == REPLY(EVENTS))
            continue;
        assert_int_equal(reply->body_case, REPLY(QUERY));
        assert_int_equal(reply->serial, next++);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_the_life_of_a_set),
        helper_test(test_every_event_says_when),
        helper_test(test_what_is_wanted),
        helper_test(test_a_vmm_comes_and_goes),
        helper_test(test_a_vmm_does_not_wait_for_its_reply),
        helper_test(test_replaced_members),
        helper_test(test_a_set_for_one_open),
        helper_test(test_the_usual_kinds_are_without_opens),
        helper_test(test_each_hears_what_it_chose),
        helper_test(test_the_choice_can_be_changed),
        helper_test(test_a_kind_that_there_is_not),
        helper_test(test_who_may_listen),
        helper_test(test_a_manager_that_listens_to_itself),
        helper_test(test_no_gap_between_events_and_query),
        helper_test(test_every_event_has_its_number),
        helper_test(test_nobody_listens),
        helper_test(test_a_subscriber_that_does_not_read),
        helper_test(test_a_subscriber_that_hangs_up_full),
        helper_test(test_a_full_subscriber_that_asks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

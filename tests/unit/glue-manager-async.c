/* SPDX-License-Identifier: MIT */
/* libfdset's requests of a manager for event loops: each has one outcome, given out where
 * the loop dispatches, whatever becomes of the helper, and who polls hears of it. */
#include "fake-helper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

struct outcome {
    int count, result;
    char text[256];
};

static void note(struct fdset_manager *manager, int result, void *context) {
    struct outcome *outcome = context;
    assert_ptr_equal(manager, fake.manager);
    outcome->count++;
    outcome->result = result;
    snprintf(outcome->text, sizeof(outcome->text), "%s", fdset_error_text());
}

static void dispatch(int count) {
    assert_int_equal(fdset_manager_dispatch(fake.manager, count ? -1 : 0), count);
}

static Reply reply_to(uint32_t serial, int body) {
    Reply reply = FDSET__V1__REPLY__INIT;
    reply.serial = serial;
    reply.body_case = body;
    return reply;
}

static void answer_added(uint32_t serial, int set, uint32_t *members, size_t count) {
    Fdset__V1__AddedSet added_set = FDSET__V1__ADDED_SET__INIT, *pointer = &added_set;
    Fdset__V1__Added added = FDSET__V1__ADDED__INIT;
    Reply reply = reply_to(serial, REPLY_IS(ADDED));
    reply.added = &added;
    added.n_sets = 1;
    added.sets = &pointer;
    added_set.set = set;
    added_set.members = members;
    added_set.n_members = count;
    fake_reply(&reply, NULL, 0);
}

static void answer_removed(uint32_t serial, uint32_t members, uint32_t leases) {
    Fdset__V1__Removed removed = FDSET__V1__REMOVED__INIT;
    Reply reply = reply_to(serial, REPLY_IS(REMOVED));
    reply.removed = &removed;
    removed.members = members;
    removed.leases = leases;
    fake_reply(&reply, NULL, 0);
}

/* A page of one set; another follows where `more`. */
static void answer_page(uint32_t serial, int set, bool more) {
    Fdset__V1__SetInfo info = FDSET__V1__SET_INFO__INIT, *pointer = &info;
    Fdset__V1__QueryReply query = FDSET__V1__QUERY_REPLY__INIT;
    Fdset__V1__Cursor next = FDSET__V1__CURSOR__INIT;
    Reply reply = reply_to(serial, REPLY_IS(QUERY));
    reply.query = &query;
    info.set = next.set = set;
    query.n_sets = 1;
    query.sets = &pointer;
    query.next = more ? &next : NULL;
    fake_reply(&reply, NULL, 0);
}

/* ------------------------------------------------------------------ a loop */

static void test_add(void **state) {
    struct outcome outcome = {0};
    int null = null_open(O_RDWR);
    struct fdset_member member = {.fd = null, .opaque = "label"};
    struct fdset_add add = {.set = FDSET_NEW_SET, .members = &member, .member_count = 1};
    uint32_t id = 17;
    fake_begin_manager();
    int poll_fd = fdset_manager_poll_fd(fake.manager);
    assert_int_equal(fdset_add_submit(fake.manager, &add, 1, note, &outcome), 0);
    Request *request = fake_receive(REQUEST_IS(ADD_FDS));
    uint32_t serial = request->serial;
    assert_string_equal(request->add_fds->sets[0]->members[0]->opaque, "label");
    assert_int_equal(fake_descriptors()->count, 1);
    packet_descriptors_close(fake_descriptors());
    assert_false(poll_says(poll_fd));
    dispatch(0);
    answer_added(serial, 9, &id, 1);
    poll_for_ever(poll_fd);
    assert_int_equal(outcome.count, 0); /* nothing is called but by dispatching */
    dispatch(1);
    assert_int_equal(outcome.count, 1);
    assert_int_equal(outcome.result, 0);
    assert_int_equal(add.set, 9);
    assert_int_equal(member.id, 17);
    assert_false(poll_says(poll_fd));

    /* What cannot be sent has no outcome. */
    assert_int_equal(fdset_add_submit(fake.manager, &add, 0, note, &outcome), -EINVAL);
    close(null);
    assert_int_equal(fdset_add_submit(fake.manager, &add, 1, note, &outcome), -EBADF);
    assert_int_equal(outcome.count, 1);
    fake_end();
}

/* A removal that waits does not hold up another. */
static void test_removals_in_another_order(void **state) {
    struct outcome slow = {0}, fast = {0}, refused = {0};
    struct fdset_removed removed = {0};
    fake_begin_manager();
    assert_int_equal(fdset_remove_submit(fake.manager, 1, 0, 5000, &removed, note, &slow), 0);
    Request *request = fake_receive(REQUEST_IS(REMOVE_FD));
    uint32_t serial = request->serial;
    assert_int_equal(request->remove_fd->wait_ms, 5000);
    assert_int_equal(fdset_remove_submit(fake.manager, 2, 7, 0, NULL, note, &fast), 0);
    request = fake_receive(REQUEST_IS(REMOVE_FD));
    assert_int_equal(request->remove_fd->member, 7);
    answer_removed(request->serial, 1, 0);
    dispatch(1);
    assert_int_equal(fast.result, 1);
    assert_int_equal(fdset_remove_submit(fake.manager, 3, 0, 0, NULL, note, &refused), 0);
    fake_error(fake_receive(REQUEST_IS(REMOVE_FD))->serial, ENOENT, "no set");
    dispatch(1);
    assert_int_equal(refused.result, -ENOENT);
    assert_string_equal(refused.text, "no set");
    assert_int_equal(slow.count, 0);
    answer_removed(serial, 4, 2);
    dispatch(1);
    assert_int_equal(slow.result, 4);
    assert_int_equal(removed.members, 4);
    assert_int_equal(removed.leases, 2);
    fake_end();
}

static void test_query_of_several_pages(void **state) {
    struct fdset_filter filter = {.owner = "label"};
    struct fdset_listing *listing;
    struct outcome outcome = {0};
    fake_begin_manager();
    int poll_fd = fdset_manager_poll_fd(fake.manager);
    assert_int_equal(fdset_query_submit(fake.manager, &filter, &listing, note, &outcome), 0);
    for (int set = 1; set <= 3; set++) {
        Request *request = fake_receive(REQUEST_IS(QUERY));
        assert_string_equal(request->query->owner, "label");
        assert_int_equal(request->query->after != NULL, set > 1);
        answer_page(request->serial, set, set < 3);
        poll_for_ever(poll_fd);
        assert_int_equal(outcome.count, 0);
        dispatch(set == 3);
    }
    assert_int_equal(outcome.result, 0);
    assert_int_equal(listing->count, 3);
    assert_int_equal(listing->sets[2].set, 3);
    fdset_listing_free(listing);

    assert_int_equal(fdset_query_submit(fake.manager, NULL, &listing, note, &outcome), 0);
    answer_page(fake_receive(REQUEST_IS(QUERY))->serial, 2, true);
    dispatch(0);
    answer_page(fake_receive(REQUEST_IS(QUERY))->serial, 1, true);
    dispatch(1);
    assert_int_equal(outcome.result, -EPROTO);
    assert_null(listing);
    fake_end();
}

static void test_subscribe_beside_other_requests(void **state) {
    struct outcome subscribed = {0}, removed = {0};
    struct fdset_event event;
    Fdset__V1__Event first = FDSET__V1__EVENT__INIT, *pointer = &first;
    Fdset__V1__Events events = FDSET__V1__EVENTS__INIT;
    fake_begin_manager();
    int poll_fd = fdset_manager_poll_fd(fake.manager);
    assert_int_equal(fdset_subscribe_submit(fake.manager, 0, note, &subscribed), 0);
    assert_int_equal(fdset_remove_submit(fake.manager, 1, 0, 0, NULL, note, &removed), 0);
    fake_done(fake_receive(REQUEST_IS(SUBSCRIBE))->serial);
    Reply reply = reply_to(0, REPLY_IS(EVENTS));
    reply.events = &events;
    events.n_events = 1;
    events.events = &pointer;
    first.kind = FDSET__V1__EVENT_KIND__EVENT_REMOVED;
    fake_reply(&reply, NULL, 0);
    answer_removed(fake_receive(REQUEST_IS(REMOVE_FD))->serial, 1, 0);

    /* Whichever of the two reads takes in what is the other's. */
    assert_int_equal(fdset_next_event(fake.manager, &event, -1), 1);
    assert_int_equal(event.kind, FDSET_EVENT_REMOVED);
    assert_true(poll_says(poll_fd));
    while (removed.count == 0)
        assert_true(fdset_manager_dispatch(fake.manager, -1) > 0);
    assert_int_equal(subscribed.count, 1);
    assert_int_equal(subscribed.result, 0);
    assert_int_equal(fdset_next_event(fake.manager, &event, 0), 0);
    assert_false(poll_says(poll_fd));
    fake_end();
}

static void ask_again(struct fdset_manager *manager, int result, void *context) {
    assert_int_equal(result, -ENOENT);
    assert_int_equal(fdset_remove_submit(manager, 2, 0, 0, NULL, note, context), 0);
}

static void test_callback_submits(void **state) {
    struct outcome outcome = {0};
    fake_begin_manager();
    assert_int_equal(fdset_remove_submit(fake.manager, 1, 0, 0, NULL, ask_again, &outcome), 0);
    fake_error(fake_receive(REQUEST_IS(REMOVE_FD))->serial, ENOENT, "no set");
    dispatch(1);
    answer_removed(fake_receive(REQUEST_IS(REMOVE_FD))->serial, 3, 0);
    dispatch(1);
    assert_int_equal(outcome.result, 3);
    fake_end();
}

/* ------------------------------------------------------------ back-pressure */

#define MANY 3000

/* The helper reads nothing: what it does not take is kept, in order, and who polls is not
 * told of it before there is room. */
static void test_more_than_the_helper_takes(void **state) {
    struct outcome outcome = {0};
    fake_begin_manager();
    int poll_fd = fdset_manager_poll_fd(fake.manager);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(fdset_remove_submit(fake.manager, i, 0, 0, NULL, note, &outcome), 0);
    dispatch(0);
    assert_false(poll_says(poll_fd));
    for (int i = 0; i < MANY; i++) {
        Request *request = fake_receive(REQUEST_IS(REMOVE_FD));
        assert_int_equal(request->remove_fd->set, i);
        answer_removed(request->serial, 1, 0);
        poll_for_ever(poll_fd);
        assert_true(fdset_manager_dispatch(fake.manager, 0) >= 0);
    }
    while (outcome.count < MANY)
        assert_true(fdset_manager_dispatch(fake.manager, -1) > 0);
    assert_false(poll_says(poll_fd));
    fake_end();
}

/* A call that waits goes after what was submitted before. */
static void test_call_beside_what_was_submitted(void **state) {
    struct outcome outcome = {0};
    struct call call;
    fake_begin_manager();
    assert_int_equal(fdset_remove_submit(fake.manager, 1, 0, 0, NULL, note, &outcome), 0);
    call_remove(&call, 2, 0);
    Request *request = fake_receive(REQUEST_IS(REMOVE_FD));
    assert_int_equal(request->remove_fd->set, 1);
    answer_removed(request->serial, 1, 0);
    request = fake_receive(REQUEST_IS(REMOVE_FD));
    assert_int_equal(request->remove_fd->set, 2);
    answer_removed(request->serial, 2, 0);
    assert_int_equal(call_end(&call), 2);
    assert_true(poll_says(fdset_manager_poll_fd(fake.manager)));
    dispatch(1);
    assert_int_equal(outcome.result, 1);
    fake_end();
}

/* -------------------------------------------------------------------- ends */

static void test_helper_dies(void **state) {
    struct outcome outcome = {0};
    struct fdset_listing *listing;
    fake_begin_manager();
    assert_int_equal(fdset_remove_submit(fake.manager, 1, 0, 0, NULL, note, &outcome), 0);
    assert_int_equal(fdset_query_submit(fake.manager, NULL, &listing, note, &outcome), 0);
    fake_receive(REQUEST_IS(REMOVE_FD));
    answer_page(fake_receive(REQUEST_IS(QUERY))->serial, 1, true);
    dispatch(0);
    fake_die();
    dispatch(2);
    assert_int_equal(outcome.count, 2);
    assert_int_equal(outcome.result, -ECONNRESET);
    assert_string_equal(outcome.text, "fdset-helper has hung up or died");
    assert_null(listing);
    assert_int_equal(fdset_manager_dispatch(fake.manager, -1), -ECONNRESET);
    assert_int_equal(fdset_remove_submit(fake.manager, 1, 0, 0, NULL, note, &outcome), -ECONNRESET);
    assert_int_equal(outcome.count, 2);
    fake_end();
}

static void test_free_gives_the_rest(void **state) {
    struct outcome outcome = {0};
    struct fdset_listing *listing;
    fake_begin_manager();
    assert_int_equal(fdset_subscribe_submit(fake.manager, 0, note, &outcome), 0);
    assert_int_equal(fdset_query_submit(fake.manager, NULL, &listing, note, &outcome), 0);
    fake_receive(REQUEST_IS(SUBSCRIBE));
    fake_receive(REQUEST_IS(QUERY));
    fake_end();
    assert_int_equal(outcome.count, 2);
    assert_int_equal(outcome.result, -ECANCELED);
}

static void test_child_has_no_part_in_it(void **state) {
    struct outcome outcome = {0};
    int status;
    fake_begin_manager();
    pid_t child = fork();
    if (child == 0) {
        bool right = fdset_remove_submit(fake.manager, 1, 0, 0, NULL, note, &outcome) == -ESTALE &&
                     fdset_subscribe_submit(fake.manager, 0, note, &outcome) == -ESTALE &&
                     fdset_manager_dispatch(fake.manager, 0) == -ESTALE;
        fdset_manager_free(fake.manager);
        closefrom(3);
        _exit(!right || outcome.count > 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    fake_end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        oracle_test(test_add),
        oracle_test(test_removals_in_another_order),
        oracle_test(test_query_of_several_pages),
        oracle_test(test_subscribe_beside_other_requests),
        oracle_test(test_callback_submits),
        oracle_test(test_more_than_the_helper_takes),
        oracle_test(test_call_beside_what_was_submitted),
        oracle_test(test_helper_dies),
        oracle_test(test_free_gives_the_rest),
        oracle_test(test_child_has_no_part_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

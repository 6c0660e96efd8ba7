/* SPDX-License-Identifier: MIT */
/* How long the loop may sleep, and that nothing is done, nor the clock looked at, while
 * nothing is due. What is counted is called by others than its own file: see meson.build. */
#include "requests/timers.h"
#include "oracle.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "requests/follow_up.h"
#include "requests/opening.h"
#include "requests/turn.h"
#include "requests/waiting.h"

/* STUCK_MS / 2 and RETRY_MS of timers.c. */
#define WATCH_MS 2500
#define RETRY_MS 10

#define NOW 1000000

static struct service service;
static unsigned clock_count, begun_count, expired_count, open_count;

uint64_t __wrap_loop_now(void);
uint64_t __wrap_loop_now(void) {
    clock_count++;
    return NOW;
}

void __wrap_work_begin(struct settle *settle, struct model *model);
void __wrap_work_begin(struct settle *settle, struct model *model) {
    begun_count++;
}

void __wrap_model_expire(struct model *model);
void __wrap_model_expire(struct model *model) {
    expired_count++;
}

/* Of debug builds. What is queued here is no member. */
void __wrap_model_check(const struct model *model);
void __wrap_model_check(const struct model *model) {
}

int __wrap_open_path(struct service *in, struct session *session, const char *path, int flags,
                     struct lease **lease, struct refusal *refusal);
int __wrap_open_path(struct service *in, struct session *session, const char *path, int flags,
                     struct lease **lease, struct refusal *refusal) {
    open_count++;
    return refuse(refusal, REFUSAL_NO_SET, ENOENT, "there is none");
}

static int begin(void **state) {
    clock_count = begun_count = expired_count = open_count = 0;
    service.model.now_ms = NOW;
    assert_int_equal(timers_timeout(&service), -1);
    assert_int_equal(clock_count, 0);
    return 0;
}

/* Nothing is left to be done. */
static int end(void **state) {
    assert_int_equal(timers_timeout(&service), -1);
    return 0;
}

static void test_nothing_is_due(void **state) {
    timers_tick(&service);
    follow_up(&service);
    assert_int_equal(clock_count + begun_count + expired_count + open_count, 0);
}

/* Each kind of deadline is slept for, and the earliest of all decides. */
static void test_deadlines_of_each_kind(void **state) {
    struct deadlines *const kinds[] = {&service.model.deadlines, &service.waits.deadlines,
                                       &service.deferrals.deadlines, &service.sessions.resends};
    struct deadline deadlines[4] = {{0}};

    for (int i = 0; i < 4; i++) {
        deadline_start(kinds[i], &deadlines[i], NOW + 700);
        assert_int_equal(timers_timeout(&service), 700);
        for (int j = 0; j < 4; j++)
            if (j != i)
                deadline_start(kinds[j], &deadlines[j], NOW + 900);
        assert_int_equal(timers_timeout(&service), 700);
        for (int j = 0; j < 4; j++)
            deadline_stop(kinds[j], &deadlines[j]);
        assert_int_equal(timers_timeout(&service), -1);
    }
}

static void test_deadlines_that_are_past_or_far(void **state) {
    struct deadline deadline = {0};

    deadline_start(&service.model.deadlines, &deadline, NOW - 1);
    assert_int_equal(timers_timeout(&service), 0);
    deadline_start(&service.model.deadlines, &deadline, UINT64_MAX / 4);
    assert_int_equal(timers_timeout(&service), INT32_MAX);
    timers_tick(&service);
    assert_int_equal(expired_count, 1);
    deadline_stop(&service.model.deadlines, &deadline);
}

/* Where a settle thread is at work, somebody may have to be told that it is stuck; where
 * one could not be begun with, it is tried again soon. */
static void test_settle_threads_are_looked_after(void **state) {
    struct deadline deadline = {0};

    service.settle.count = 1;
    assert_int_equal(timers_timeout(&service), WATCH_MS);
    deadline_start(&service.model.deadlines, &deadline, NOW + WATCH_MS + 1);
    assert_int_equal(timers_timeout(&service), WATCH_MS);
    deadline_start(&service.model.deadlines, &deadline, NOW + WATCH_MS - 1);
    assert_int_equal(timers_timeout(&service), WATCH_MS - 1);
    service.settle.starved = true;
    assert_int_equal(timers_timeout(&service), RETRY_MS);
    deadline_start(&service.model.deadlines, &deadline, NOW + RETRY_MS - 1);
    assert_int_equal(timers_timeout(&service), RETRY_MS - 1);
    deadline_stop(&service.model.deadlines, &deadline);
    service.settle.starved = false;
    service.settle.count = 0;
}

/* What is to be done at once is not slept over. */
static void test_nothing_that_is_due_is_slept_over(void **state) {
    struct list link;

    list_append(&service.model.unsettled, &link);
    assert_int_equal(timers_timeout(&service), 0);
    list_remove(&link);
    list_append(&service.subscriptions.unsent, &link);
    assert_int_equal(timers_timeout(&service), 0);
    list_remove(&link);
    service.model.changes++;
    assert_int_equal(timers_timeout(&service), 0);
    timers_tick(&service);
    assert_int_equal(begun_count, 1);
}

/* An open that waits is tried again where something has changed, and only there. */
static void test_what_waits_is_tried_again_after_a_change(void **state) {
    struct refusal why = {.code = REFUSAL_NO_SET}, refusal;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
                     0);
    struct session *session = session_begin(&service.sessions, pair[1], ROLE_VMM);
    assert_non_null(session);
    assert_int_equal(waiting_begin(&service, session, 1, "/dev/fdset/1", 0, 5000, &why, &refusal),
                     0);
    assert_int_equal(timers_timeout(&service), 5000);
    timers_tick(&service);
    follow_up(&service);
    assert_int_equal(open_count, 0);
    service.model.changes++;
    follow_up(&service);
    assert_int_equal(open_count, 1);
    /* Something is due, but this has been tried. */
    struct list link;
    list_append(&service.subscriptions.unsent, &link);
    assert_true(follow_up_due(&service));
    list_remove(&link);
    list_append(&service.model.unsettled, &link);
    follow_up(&service);
    list_remove(&link);
    assert_int_equal(open_count, 1);
    assert_int_equal(timers_timeout(&service), 5000);
    close(pair[0]);
    session_end(session);
    turn_end(&service);
}

#define timers_test(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void) {
    static const struct limits limits = {.sets = 2,
                                         .members = 2,
                                         .leases = 2,
                                         .leases_per_vmm = 2,
                                         .connections = 2,
                                         .waiting = 2,
                                         .holds = 2,
                                         .events = 2};
    const struct CMUnitTest tests[] = {
        timers_test(test_nothing_is_due),
        timers_test(test_deadlines_of_each_kind),
        timers_test(test_deadlines_that_are_past_or_far),
        timers_test(test_settle_threads_are_looked_after),
        timers_test(test_nothing_that_is_due_is_slept_over),
        timers_test(test_what_waits_is_tried_again_after_a_change),
    };

    if (service_init(&service, &limits) < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

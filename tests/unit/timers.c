/* SPDX-License-Identifier: MIT */
/* How long the loop may sleep, and that nothing is done, nor the clock looked at, while
 * nothing is due. What is counted is called by others than its own file: see meson.build. */
#include "oracle.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "connection/listener.h"
#include "connection/reply.h"
#include "requests/opening.h"
#include "requests/turn.h"
#include "requests/waiting.h"

/* STUCK_MS / 2 and RETRY_MS of timers.c. */
#define WATCH_MS 2500
#define RETRY_MS 10

#define NOW 1000000

static struct service service;
static unsigned clock_count, begun_count, expired_count, open_count, change_count;
static int open_error;

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
    return open_error ? open_error : refuse(refusal, REFUSAL_NO_SET, ENOENT, "there is none");
}

void __real_loop_change(struct loop *loop, struct watch *watch, uint32_t epoll_events);
void __wrap_loop_change(struct loop *loop, struct watch *watch, uint32_t epoll_events);
void __wrap_loop_change(struct loop *loop, struct watch *watch, uint32_t epoll_events) {
    change_count++;
    __real_loop_change(loop, watch, epoll_events);
}

static int begin(void **state) {
    clock_count = begun_count = expired_count = open_count = change_count = 0;
    open_error = 0;
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
    assert_int_equal(clock_count + expired_count + open_count, 0);
#ifndef CHECK_MODEL /* then it follows up each time, for the sake of the checks */
    assert_int_equal(begun_count, 0);
#endif
}

/* Each kind of deadline is slept for, and the earliest of all decides. */
static void test_deadlines_of_each_kind(void **state) {
    struct deadlines *const kinds[] = {&service.model.deadlines, &service.waits.deadlines,
                                       &service.deferrals.deadlines, &service.sessions.resends,
                                       &service.sessions.patience};
    struct deadline deadlines[5] = {{0}};

    for (int i = 0; i < 5; i++) {
        deadline_start(kinds[i], &deadlines[i], NOW + 700);
        assert_int_equal(timers_timeout(&service), 700);
        for (int j = 0; j < 5; j++)
            if (j != i)
                deadline_start(kinds[j], &deadlines[j], NOW + 900);
        assert_int_equal(timers_timeout(&service), 700);
        for (int j = 0; j < 5; j++)
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

/* A member of this set has come. */
static void change(uint32_t id, int flags) {
    static struct fdset set;
    static struct member member;

    set.id = id;
    member = (struct member){.set = &set, .state = MEMBER_LISTED, .flags = flags};
    list_append(&service.model.changed, &member.changed);
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
    list_append(&service.deferrals.ready, &link);
    assert_int_equal(timers_timeout(&service), 0);
    list_remove(&link);
    change(1, O_RDWR);
    assert_int_equal(timers_timeout(&service), 0);
    timers_tick(&service);
    assert_int_equal(begun_count, 1);
}

/* A VMM of which an open waits, for so long. */
static struct session *begin_waiting(int pair[2], uint32_t wait_ms) {
    struct refusal why = {.code = REFUSAL_NO_SET};

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
                     0);
    struct session *session =
        session_begin(&service.sessions, pair[1], ROLE_VMM, service.model.endpoints.all);
    assert_non_null(session);
    session->carries = false; /* there are no threads here that would close its socket */
    assert_int_equal(waiting_begin(&service, session, 1, "/dev/fdset/1", 0, wait_ms, &why), 0);
    assert_int_equal(timers_timeout(&service), wait_ms);
    return session;
}

static void end_waiting(int pair[2], struct session *session) {
    close(pair[0]);
    session_end(session);
    turn_end(&service);
}

/* The text of the refusal that has come. */
static const char *refusal_of(int socket) {
    static uint8_t bytes[FDSET_MAX_PACKET_BYTES];
    static struct packet_arena arena;
    struct packet_descriptors descriptors;
    struct packet_info info;

    packet_arena_init(&arena);
    assert_int_equal(packet_receive(socket, bytes, &descriptors, MSG_DONTWAIT, &info), 0);
    Fdset__V1__Reply *reply = (Fdset__V1__Reply *)packet_decode(&fdset__v1__reply__descriptor,
                                                                bytes, info.length, &arena);
    assert_non_null(reply);
    assert_int_equal(reply->body_case, FDSET__V1__REPLY__BODY_ERROR);
    return reply->error->text;
}

/* An open that waits is tried again where what it waits for has changed, and only there. */
static void test_what_waits_is_tried_again_after_a_change(void **state) {
    struct list link;
    int pair[2];
    struct session *session = begin_waiting(pair, 5000);

    timers_tick(&service);
    follow_up(&service);
    assert_int_equal(open_count, 0);
    change(2, O_RDONLY);
    follow_up(&service);
    change(1, O_RDWR);
    follow_up(&service);
    assert_int_equal(open_count, 0);
    change(1, O_RDONLY);
    follow_up(&service);
    assert_int_equal(open_count, 1);
    /* Something is due, but this has been tried. */
    list_append(&service.model.unsettled, &link);
    follow_up(&service);
    list_remove(&link);
    assert_int_equal(open_count, 1);
    assert_int_equal(timers_timeout(&service), 5000);
    end_waiting(pair, session);
}

/* What VMMs can count up has 64 bits: 32 would begin again in a day or two. */
static void test_numbers_do_not_wrap(void **state) {
    int pair[2];

    service.sessions.accepted = service.waits.last_number = UINT32_MAX;
    struct session *session = begin_waiting(pair, 5000);
    const struct waiting *waiting = list_object(session->waits.next, struct waiting, in_session);
    assert_int_equal(session->holder.connection, UINT32_MAX + UINT64_C(1));
    assert_int_equal(waiting->number, UINT32_MAX + UINT64_C(1));
    end_waiting(pair, session);
}

static void test_a_wait_that_is_over_says_how_long_it_was(void **state) {
    int pair[2];
    struct session *session = begin_waiting(pair, 5000);

    service.model.now_ms = NOW + 4999;
    timers_tick(&service);
    assert_int_equal(open_count, 0);
    service.model.now_ms = NOW + 5000;
    timers_tick(&service);
    assert_int_equal(open_count, 1);
    assert_non_null(strstr(refusal_of(pair[0]), "; waited 5000 ms"));
    assert_int_equal(session->waiting_count, 0);
    end_waiting(pair, session);
}

/* A VMM that has not taken its last reply is not sent another, and its wait is over once. */
static void test_a_wait_that_is_over_before_the_vmm_reads(void **state) {
    uint64_t expired = service.waits.expired;
    int pair[2];
    struct session *session = begin_waiting(pair, 5000);

    session->pending = slab_take(&service.sessions.pending_slab);
    change(1, O_RDONLY);
    follow_up(&service);
    service.model.now_ms = NOW + 5000;
    timers_tick(&service);
    assert_int_equal(open_count, 0);
    assert_int_equal(timers_timeout(&service), -1);
    outbox_drop(session);
    assert_true(session->missed);
    waiting_resume(&service, session); /* as when it has read */
    assert_int_equal(open_count, 1);
    assert_non_null(strstr(refusal_of(pair[0]), "; waited 5000 ms"));
    assert_int_equal(service.waits.expired, expired + 1);
    end_waiting(pair, session);
}

/* Its member is there, and being settled: that is waited for, however long. */
static void test_a_wait_that_is_over_while_its_member_settles(void **state) {
    int pair[2];
    struct session *session = begin_waiting(pair, 5000);

    open_error = -EAGAIN;
    service.model.now_ms = NOW + 5000;
    timers_tick(&service);
    assert_int_equal(open_count, 1);
    assert_int_equal(timers_timeout(&service), -1);
    assert_int_equal(session->waiting_count, 1);
    end_waiting(pair, session);
}

/* A listener that paused goes on once, when its pause is over. */
static void test_a_listener_resumes_once(void **state) {
    static struct listener listener;
    int socket_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    assert_int_equal(listener_begin(&listener, &service.sessions, socket_fd, ROLE_VMM,
                                    service.model.endpoints.all, true, NULL),
                     0);
    assert_true(listener_resume(&listener));
    listener.paused_ms = NOW;
    assert_false(listener_resume(&listener));
    service.model.now_ms = NOW + LISTENER_PAUSE_MS;
    assert_true(listener_resume(&listener));
    assert_int_equal(change_count, 1);
    assert_true(listener_resume(&listener));
    assert_int_equal(change_count, 1);
    loop_remove(&service.sessions.loop, &listener.watch);
    close(socket_fd);
}

#define timers_test(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void) {
    static const struct endpoint_plan plan = {"vm"};
    static const struct limits limits = {.sets = 2,
                                         .members = 2,
                                         .leases = 2,
                                         .leases_per_vmm = 2,
                                         .connections = 2,
                                         .waiting = 2,
                                         .holds = 2,
                                         .events = 2,
                                         .in_flight = 512};
    const struct CMUnitTest tests[] = {
        timers_test(test_nothing_is_due),
        timers_test(test_deadlines_of_each_kind),
        timers_test(test_deadlines_that_are_past_or_far),
        timers_test(test_settle_threads_are_looked_after),
        timers_test(test_nothing_that_is_due_is_slept_over),
        timers_test(test_what_waits_is_tried_again_after_a_change),
        timers_test(test_numbers_do_not_wrap),
        timers_test(test_a_wait_that_is_over_says_how_long_it_was),
        timers_test(test_a_wait_that_is_over_before_the_vmm_reads),
        timers_test(test_a_wait_that_is_over_while_its_member_settles),
        timers_test(test_a_listener_resumes_once),
    };

    if (service_init(&service, &limits) < 0 ||
        endpoints_init(&service.model.endpoints, &limits, &plan, 1, false) < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

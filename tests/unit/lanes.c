/* SPDX-License-Identifier: MIT */
/* helper/connection/loop: whose turn it is. What is told is counted, and who of whom. */
#include "connection/loop.h"
#include "oracle.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* As many packets as a lane is served in a turn. */
#define PACKETS (TURN_WORK / PACKET_WORK)

#define MANY 200

static struct loop loop;
static uint64_t now_ms;
static struct lane lanes[2];
static int work; /* that each does when it is told */

/* Who has been told, in order. */
static struct watch *told[1000];
static unsigned told_count;

static struct watch watches[MANY + 1];

static void note(struct watch *watch, uint32_t epoll_events) {
    told[told_count++] = watch;
    loop_spend(&loop, work);
}

/* It has something to read, for as long as the test lasts. */
static struct watch *begin_watch(unsigned index, struct lane *lane) {
    struct watch *watch = &watches[index];

    *watch = (struct watch){.fd = eventfd(1, EFD_CLOEXEC), .ready = note, .lane = lane};
    assert_int_equal(loop_add(&loop, watch, EPOLLIN), 0);
    return watch;
}

static void begin_many(unsigned count) {
    for (unsigned i = 0; i < count; i++)
        begin_watch(i, &lanes[0]);
}

static void turn(void) {
    told_count = 0;
    assert_int_equal(loop_turn(&loop, 0), 0);
}

static int begin(void **state) {
    work = PACKET_WORK;
    for (int i = 0; i < 2; i++)
        lanes[i] = (struct lane){0};
    for (int i = 0; i <= MANY; i++)
        watches[i] = (struct watch){.fd = -1};
    int result = oracle_remember(state);
    return result < 0 ? result : loop_init(&loop, MANY + 1, &now_ms);
}

static int end(void **state) {
    for (int i = 0; i <= MANY; i++)
        if (watches[i].fd >= 0) {
            loop_remove(&loop, &watches[i]);
            close(watches[i].fd);
        }
    close(loop.epoll);
    return oracle_compare(state);
}

static void test_a_turn_is_so_much_work_and_no_more(void **state) {
    begin_many(40);
    for (int i = 0; i < 10; i++) {
        turn();
        assert_int_equal(told_count, PACKETS);
    }
}

static void test_each_of_a_lane_is_told_before_one_is_twice(void **state) {
    unsigned times[40] = {0};

    begin_many(40);
    for (int i = 0; i < 2 * 40 / PACKETS; i++) {
        turn();
        for (unsigned j = 0; j < told_count; j++)
            times[told[j] - watches]++;
    }
    for (int i = 0; i < 40; i++)
        assert_int_equal(times[i], 2);
}

/* However many of another are ready, and have been for longer. */
static void test_one_that_comes_is_told_first(void **state) {
    begin_many(MANY);
    turn();
    struct watch *victim = begin_watch(MANY, &lanes[1]);
    turn();
    assert_int_equal(told_count, 1 + PACKETS);
    assert_ptr_equal(told[0], victim);
    /* Then they take turns. */
    for (int i = 0; i < 5; i++) {
        turn();
        unsigned victims = 0;
        for (unsigned j = 0; j < told_count; j++)
            victims += told[j] == victim;
        assert_int_equal(victims, 1);
        assert_int_equal(told_count, 1 + PACKETS);
    }
}

/* A request that takes longer than a turn is paid for by the turns that follow. */
static void test_work_done_ahead_is_owed(void **state) {
    begin_many(2);
    work = 3 * TURN_WORK;
    turn();
    assert_int_equal(told_count, 1);
    work = PACKET_WORK;
    begin_watch(MANY, &lanes[1]);
    for (int i = 0; i < 2; i++) {
        turn();
        assert_int_equal(told_count, 1);
        assert_ptr_equal(told[0], &watches[MANY]);
    }
    turn();
    assert_true(told_count > 1);
}

static void test_nobody_sleeps_while_one_waits_for_its_turn(void **state) {
    begin_many(PACKETS + 1);
    turn();
    for (unsigned i = 0; i <= PACKETS; i++) {
        uint64_t count;
        assert_int_equal(read(watches[i].fd, &count, sizeof(count)), sizeof(count));
    }
    told_count = 0;
    assert_int_equal(loop_turn(&loop, -1), 0); /* would be for ever */
    assert_int_equal(told_count, 1);
    turn();
    assert_int_equal(told_count, 0);
}

static void test_told_again_without_an_event(void **state) {
    begin_many(2);
    turn();
    for (int i = 0; i < 2; i++) {
        uint64_t count;
        assert_int_equal(read(watches[i].fd, &count, sizeof(count)), sizeof(count));
    }
    loop_again(&loop, &watches[1]);
    loop_again(&loop, &watches[1]);
    loop_again(&loop, &watches[0]);
    loop_forget(&watches[0]);
    turn();
    assert_int_equal(told_count, 1);
    assert_ptr_equal(told[0], &watches[1]);
    turn();
    assert_int_equal(told_count, 0);
}

/* Who goes on in its lane's next turn, comes after those who wait. */
static void go_on(struct watch *watch, uint32_t epoll_events) {
    note(watch, epoll_events);
    loop_again(&loop, watch);
}

static void test_who_goes_on_comes_after_the_others(void **state) {
    begin_many(2);
    begin_watch(MANY, &lanes[1]);
    watches[0].ready = go_on;
    work = TURN_WORK;
    for (int i = 0; i < 5; i++) {
        turn();
        assert_int_equal(told_count, 2);
        assert_ptr_not_equal(told[0]->lane, told[1]->lane);
    }
    loop_forget(&watches[0]);
}

/* What is nobody's is told at once. */
static void test_what_has_no_lane_waits_for_nobody(void **state) {
    begin_many(40);
    turn();
    for (unsigned i = 100; i < 110; i++)
        begin_watch(i, NULL);
    turn();
    assert_int_equal(told_count, 10 + PACKETS);
    for (unsigned i = 0; i < 10; i++)
        assert_null(told[i]->lane);
}

#define lanes_test(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        lanes_test(test_a_turn_is_so_much_work_and_no_more),
        lanes_test(test_each_of_a_lane_is_told_before_one_is_twice),
        lanes_test(test_one_that_comes_is_told_first),
        lanes_test(test_work_done_ahead_is_owed),
        lanes_test(test_nobody_sleeps_while_one_waits_for_its_turn),
        lanes_test(test_told_again_without_an_event),
        lanes_test(test_who_goes_on_comes_after_the_others),
        lanes_test(test_what_has_no_lane_waits_for_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The settle threads: what they are given is done, one at a time of each file
 * system, and told to the main thread. Under TSan too, in tests/run. */
#include "linger.h"
#include "oracle.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "connection/loop.h"
#include "model/model.h"
#include "packet.h"
#include "settle/settle.h"

#define MEMBERS 40

static struct loop loop;
static uint64_t now_ms;
static struct settle settle, other_settle;
static cpu_set_t cpus, fewer_cpus;
static struct member members[MEMBERS];
static unsigned done_work[MEMBERS];
static int stuck_count;
static pthread_t main_thread;

/* So many jobs more cannot be sent, as the kernel has no memory. */
static int shortages;

ssize_t __real_sendmsg(int socket, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int socket, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int socket, const struct msghdr *message, int flags) {
    if (pthread_equal(pthread_self(), main_thread) && shortages > 0) {
        shortages--;
        errno = ENOBUFS;
        return -1;
    }
    return __real_sendmsg(socket, message, flags);
}

static void note_done(struct settle *from, struct member *member, unsigned work, bool may_block) {
    assert_ptr_equal(from, &settle);
    assert_int_equal(member->working, work);
    assert_false(work & WORK_INSPECT && may_block);
    member->work &= ~work;
    member->working = 0;
    done_work[member - members] |= work;
}

static void note_stuck(struct settle *from, struct member *member) {
    stuck_count++;
}

static void *end_at_once(void *argument) {
    return argument;
}

/* A sanitizer starts a thread of its own with the first: not among those that count. */
static void begin_sanitizer(void) {
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, end_at_once, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* All but one, if there are more, as by taskset. */
static void begin_on_fewer(void) {
    int last = CPU_SETSIZE;

    assert_int_equal(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
    fewer_cpus = cpus;
    while (!CPU_ISSET(--last, &cpus))
        ;
    if (CPU_COUNT(&cpus) > 1)
        CPU_CLR(last, &fewer_cpus);
    assert_int_equal(sched_setaffinity(0, sizeof(fewer_cpus), &fewer_cpus), 0);
    assert_int_equal(settle_init(&other_settle), 0);
    assert_int_equal(settle_start(&other_settle), 0);
    assert_int_equal(settle_await(&other_settle), 0);
    assert_int_equal(sched_setaffinity(0, sizeof(cpus), &cpus), 0);
}

/* The threads are there until the program's end: nobody could tell when one has
 * left its socket alone. */
static int begin_all(void **state) {
    main_thread = pthread_self();
    begin_sanitizer();
    begin_on_fewer();
    assert_int_equal(loop_init(&loop, SETTLE_THREADS, &now_ms), 0);
    assert_int_equal(settle_init(&settle), 0);
    settle.done = note_done;
    settle.stuck = note_stuck;
    assert_int_equal(settle_start(&settle), 0);
    assert_int_equal(settle_await(&settle), 0);
    for (int i = 0; i < SETTLE_THREADS; i++)
        assert_int_equal(loop_add(&loop, &settle.threads[i].watch, EPOLLIN), 0);
    return 0;
}

static int begin(void **state) {
    memset(members, 0, sizeof(members));
    memset(done_work, 0, sizeof(done_work));
    stuck_count = 0;
    return oracle_remember(state);
}

static struct member *member_of(int index, int fd, unsigned work, uint64_t device) {
    struct member *member = &members[index];
    *member = (struct member){
        .fd = fd, .flags = O_RDWR, .work = (uint8_t)work, .device = (uint32_t)device};
    list_init(&member->queue);
    list_init(&member->unswept);
    list_init(&member->changed);
    return member;
}

static void run_down(void) {
    while (settle.count > 0)
        assert_int_equal(loop_turn(&loop, 20000), 0);
}

static void does_what_it_is_given(void **state) {
    int fd = memfd_create("disk", MFD_CLOEXEC), other = dup(fd);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_APPEND), 0);

    settle_submit(&settle, member_of(0, other, WORK_INSPECT | WORK_RESTORE | WORK_CLOSE, 1));
    run_down();
    assert_int_equal(done_work[0], WORK_INSPECT | WORK_RESTORE | WORK_CLOSE);
    assert_int_equal(fcntl(other, F_GETFD), -1);
    assert_int_equal(fcntl(fd, F_GETFL) & O_APPEND, 0);
    close(fd);
}

static struct model model;

static void begin_model(void) {
    model = (struct model){.now_ms = 1000, .sweep_ms = UINT64_MAX};
    list_init(&model.sets);
    list_init(&model.unsettled);
    list_init(&model.unswept);
    list_init(&model.changed);
}

/* A member whose last lease ended after so long. */
static struct member *leased_for(int index, uint64_t ms) {
    struct member *member = member_of(index, memfd_create("disk", MFD_CLOEXEC), WORK_RESTORE, 1);

    member->oldest_ms = model.now_ms - ms;
    list_append(&model.unsettled, &member->queue);
    return member;
}

/* Few locks are cleared in place; where there may be many, by a thread. */
static void locks_of_a_long_lease_are_cleared_by_a_thread(void **state) {
    begin_model();
    struct member *brief = leased_for(0, 100), *lived = leased_for(1, 101);
    struct member *kept = leased_for(2, 101);
    kept->keep_locks = true;
    work_begin(&settle, &model);
    assert_int_equal(settle.count, 1);
    assert_true(!brief->work && !kept->work && lived->working == WORK_RESTORE);
    run_down();
    assert_true(!lived->work);
    for (int i = 0; i < 3; i++)
        close(members[i].fd);
}

/* What may be cleared later is, some in each turn; those in leases are let be. */
static void many_are_swept_in_turns(void **state) {
    begin_model();
    for (int i = 0; i < MEMBERS; i++) {
        struct member *member = leased_for(i, 1);
        member->keep_locks = i % 3 == 1;
        assert_int_equal(flock(member->fd, LOCK_EX), 0);
        assert_int_equal(fcntl(member->fd, F_SETOWN, getpid()), 0);
    }
    work_begin(&settle, &model);
    assert_int_equal(model.unswept_count, MEMBERS);
    for (int i = 2; i < MEMBERS; i += 3)
        members[i].lease_count = 1;
    int turns = 0;
    for (; model.unswept_count > 0; turns++) {
        work_sweep_due(&model);
        assert_true(model.sweep_ms == (model.unswept_count ? 0 : UINT64_MAX));
    }
    assert_int_equal(turns, (MEMBERS + 15) / 16);
    assert_int_equal(settle.count, 0);
    for (int i = 0; i < MEMBERS; i++) {
        char path[64];
        assert_int_equal(fcntl(members[i].fd, F_GETOWN), i % 3 == 2 ? getpid() : 0);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", members[i].fd);
        int other = open(path, O_RDWR | O_CLOEXEC);
        assert_int_equal(flock(other, LOCK_EX | LOCK_NB), i % 3 == 0 ? 0 : -1);
        assert_false(members[i].work || members[i].working);
        close(other);
        close(members[i].fd);
    }
}

static void all_of_many_are_done(void **state) {
    for (int i = 0; i < MEMBERS; i++) {
        int fd = memfd_create("disk", MFD_CLOEXEC);
        settle_submit(&settle, member_of(i, fd, WORK_INSPECT | WORK_CLOSE, (uint64_t)i % 7));
    }
    run_down();
    for (int i = 0; i < MEMBERS; i++)
        assert_int_equal(done_work[i], WORK_INSPECT | WORK_CLOSE);
}

static void one_of_a_file_system_at_a_time(void **state) {
    for (int i = 0; i < 3; i++)
        settle_submit(&settle, member_of(i, memfd_create("disk", MFD_CLOEXEC), WORK_CLOSE, 5));
    assert_true(members[0].working && !members[1].working && !members[2].working);
    run_down();
    assert_int_equal(done_work[2], WORK_CLOSE);
}

/* Two nodes of one device can hold each other up, those of two cannot, though all
 * lie in one file system. */
static void device_nodes_depend_by_device(void **state) {
    for (int i = 0; i < 3; i++) {
        struct member *member = member_of(i, memfd_create("node", MFD_CLOEXEC), WORK_CLOSE, 5);
        member->type = S_IFBLK;
        member->inode = (uint64_t)i;
        member->device_number = i == 2 ? 2 : 1;
        settle_submit(&settle, member);
    }
    assert_true(members[0].working && !members[1].working && members[2].working);
    run_down();
}

/* What is new is found out about beside a close that writes out much; where that may be
 * waiting for a server, it is not. */
static void what_is_new_does_not_wait_for_a_long_close(void **state) {
    for (int i = 0; i < 4; i++) {
        struct member *member = member_of(i, memfd_create("disk", MFD_CLOEXEC),
                                          i % 2 ? WORK_INSPECT : WORK_CLOSE, (uint64_t)i / 2);
        member->may_block = i > 0;
        settle_submit(&settle, member);
    }
    assert_true(members[0].working && members[1].working);
    assert_true(members[2].working && !members[3].working);
    int inspected[] = {members[1].fd, members[3].fd};
    run_down();
    close(inspected[0]);
    close(inspected[1]);
}

/* What could not be begun with is tried again, all of it that can be under way at once. */
static void what_the_kernel_was_short_of_is_tried_again(void **state) {
    shortages = 2;
    for (int i = 0; i < 2; i++)
        settle_submit(&settle,
                      member_of(i, memfd_create("disk", MFD_CLOEXEC), WORK_CLOSE, (uint64_t)i));
    assert_true(settle.starved && !members[0].working && !members[1].working);
    settle_watch(&settle, 1000, 5000);
    assert_true(!settle.starved && members[0].working && members[1].working);
    run_down();
    assert_int_equal(done_work[0] & done_work[1], WORK_CLOSE);
}

static void what_takes_long_is_told_once(void **state) {
    settle_submit(&settle, member_of(0, memfd_create("disk", MFD_CLOEXEC), WORK_CLOSE, 1));
    settle_watch(&settle, 1000, 5000);
    settle_watch(&settle, 5999, 5000);
    assert_int_equal(stuck_count, 0);
    settle_watch(&settle, 6000, 5000);
    settle_watch(&settle, 9000, 5000);
    assert_int_equal(stuck_count, 1);
    run_down();
}

/* ---------------------------------------------------------------- leftovers */

#define GROUPS 4

static struct leftovers left[GROUPS + 2];
static unsigned left_done;

static void note_left(struct leftovers *leftovers) {
    leftovers->count = 0;
    left_done++;
}

/* What is closed only when the test lets it go. */
static struct leftovers *leave(int index, const void *group) {
    left[index] = (struct leftovers){.group = group, .count = 1, .done = note_left};
    left[index].fd[0] = linger_socket();
    settle_leave(&settle, &left[index]);
    return &left[index];
}

/* Of one group one thread, of all strangers two, of managers one more: a member has the last. */
static void leftovers_take_few_threads(void **state) {
    left_done = 0;
    struct leftovers *one = leave(0, &left[0]), *same = leave(1, &left[0]);
    struct leftovers *other = leave(2, &left[2]), *third = leave(3, &left[3]);
    struct leftovers *manager = leave(4, NULL), *second = leave(5, NULL);
    assert_true(one->begun && !same->begun && other->begun && !third->begun);
    assert_true(manager->begun && !second->begun);
    settle_submit(&settle, member_of(0, memfd_create("disk", MFD_CLOEXEC), WORK_CLOSE, 1));
    while (settle.count > 0)
        assert_int_equal(loop_turn(&loop, 20000), 0);
    assert_int_equal(done_work[0], WORK_CLOSE);
    assert_int_equal(left_done, 0);
    linger_expect_all();
    linger_let_go(0);
    while (left_done < 1)
        assert_int_equal(loop_turn(&loop, 20000), 0);
    assert_true(same->begun && !third->begun);
    linger_let_all_go();
    while (settle.leftovers_count > 0)
        assert_int_equal(loop_turn(&loop, 20000), 0);
    assert_int_equal(left_done, GROUPS + 2);
    assert_false(settle_is_busy(&settle));
}

/* A packet is taken and dropped, with what it brings; the socket stays. */
static void a_packet_is_dropped(void **state) {
    int pair[2], pipes[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    assert_int_equal(packet_send(pair[0], (const uint8_t *)"1", 1, &pipes[1], 1, 0), 0);
    assert_int_equal(packet_send(pair[0], (const uint8_t *)"2", 1, NULL, 0, 0), 0);
    close(pipes[1]);
    left[0] = (struct leftovers){.count = 1, .drop = true, .done = note_left};
    left[0].fd[0] = pair[1];
    settle_leave(&settle, &left[0]);
    while (settle.leftovers_count > 0)
        assert_int_equal(loop_turn(&loop, 20000), 0);
    char byte;
    assert_int_equal(read(pipes[0], &byte, 1), 0); /* nobody has the other end any more */
    assert_int_equal(read(pair[1], &byte, 1), 1);
    assert_int_equal(byte, '2');
    close(pipes[0]);
    close(pair[0]);
    close(pair[1]);
}

static void leftovers_that_the_kernel_was_short_for_are_tried_again(void **state) {
    shortages = 1;
    left[0] = (struct leftovers){.count = 1, .done = note_left};
    left[0].fd[0] = memfd_create("left", MFD_CLOEXEC);
    settle_leave(&settle, &left[0]);
    assert_true(settle.starved && !left[0].begun);
    settle_watch(&settle, 1000, 5000);
    assert_true(!settle.starved && left[0].begun);
    while (settle.leftovers_count > 0)
        assert_int_equal(loop_turn(&loop, 20000), 0);
}

/* The threads may run where the one that started them might, and this one still. */
static void run_anywhere(void **state) {
    DIR *threads = opendir("/proc/self/task");
    int on_all = 0, on_fewer = 0, elsewhere = 0;

    assert_non_null(threads);
    for (struct dirent *entry; (entry = readdir(threads));) {
        cpu_set_t its;
        if (entry->d_name[0] == '.')
            continue;
        assert_int_equal(sched_getaffinity(atoi(entry->d_name), sizeof(its), &its), 0);
        if (CPU_EQUAL(&its, &cpus))
            on_all++;
        else if (CPU_EQUAL(&its, &fewer_cpus))
            on_fewer++;
        else
            elsewhere++;
    }
    closedir(threads);
    assert_int_equal(elsewhere, 0);
    assert_int_equal(on_fewer, CPU_COUNT(&cpus) > 1 ? SETTLE_THREADS : 0);
    assert_true(on_all > SETTLE_THREADS);
}

#define settle_test(function) cmocka_unit_test_setup_teardown(function, begin, oracle_compare)

int main(void) {
    const struct CMUnitTest tests[] = {
        settle_test(does_what_it_is_given),
        settle_test(all_of_many_are_done),
        settle_test(one_of_a_file_system_at_a_time),
        settle_test(device_nodes_depend_by_device),
        settle_test(what_is_new_does_not_wait_for_a_long_close),
        settle_test(what_the_kernel_was_short_of_is_tried_again),
        settle_test(what_takes_long_is_told_once),
        settle_test(locks_of_a_long_lease_are_cleared_by_a_thread),
        settle_test(many_are_swept_in_turns),
        settle_test(leftovers_take_few_threads),
        settle_test(a_packet_is_dropped),
        settle_test(leftovers_that_the_kernel_was_short_for_are_tried_again),
        settle_test(run_anywhere),
    };
    /* Valgrind stands still while a thread waits in a close. */
    if (getenv("FDSET_TEST_VALGRIND"))
        cmocka_set_skip_filter("*leftovers_take_few_threads*");
    return cmocka_run_group_tests(tests, begin_all, NULL);
}

/* SPDX-License-Identifier: MIT */
/* libfdset and the real helper: what goes beyond open and close. Names, lifetimes,
 * holds, opens that wait, events, and opens for event loops. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <fdset/manager.h>
#include <fdset/vmm.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct fdset_vmm *vmm;
static struct fdset_manager *manager;

/* The library returned a failure: say which. */
static int works(int result) {
    if (result < 0)
        fail_msg("%s", fdset_error_text());
    return result;
}

static struct helper *begin(void) {
    struct helper *helper = helper_start(NULL);
    works(fdset_vmm_attach_path(&vmm, helper_socket_path(ROLE(VMM)), "vm7"));
    works(fdset_manager_connect(&manager, helper_socket_path(ROLE(MANAGER)), "tool"));
    return helper;
}

static int end(void **state) {
    fdset_vmm_free(vmm);
    fdset_manager_free(manager);
    vmm = NULL;
    manager = NULL;
    return harness_end(state);
}

#define glue_test(function) cmocka_unit_test_setup_teardown(function, harness_begin, end)

static int add_named(struct fdset_manager *to, const char *name, int fd, const char *opaque,
                     enum fdset_lifetime lifetime) {
    struct fdset_member member = {.fd = fd, .opaque = opaque, .sharing = FDSET_SHARED};
    struct fdset_add add = {.set = FDSET_NEW_SET,
                            .lifetime = lifetime,
                            .members = &member,
                            .member_count = 1,
                            .name = name,
                            .grace_ms = lifetime == FDSET_CONNECTION ? 600000 : 0};
    int error = fdset_add_fds(to, &add, 1);
    return error ? error : add.set;
}

static struct fdset_event next_event(enum fdset_event_kind kind) {
    struct fdset_event event;
    do
        works(fdset_next_event(manager, &event, -1));
    while (event.kind != kind);
    return event;
}

/* ------------------------------------------------------- events in their order */

static bool is_locked(int fd) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    assert_int_equal(fcntl(fd, F_OFD_GETLK, &lock), 0);
    return lock.l_type != F_UNLCK;
}

static void test_close_that_waits_leaves_no_lock(void **state) {
    begin();
    works(add_named(manager, "disk0", file_open("disk", O_RDWR), NULL, FDSET_KEEP));
    int other = file_open("disk", O_RDWR);
    for (int i = 0; i < 20; i++) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        int fd = works(fdset_open(vmm, "/dev/fdset/disk0", O_RDWR | O_CLOEXEC));

        assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
        assert_true(is_locked(other));
        works(fdset_close_wait(vmm, fd));
        assert_false(is_locked(other));
    }
    close(other);
}

static void test_a_set_from_its_beginning_to_its_end(void **state) {
    struct fdset_event event;
    begin();
    works(fdset_subscribe(
        manager, FDSET_EVENT_BIT(FDSET_EVENT_ADDED) | FDSET_EVENT_BIT(FDSET_EVENT_REMOVED) |
                     FDSET_EVENT_BIT(FDSET_EVENT_OPENED) | FDSET_EVENT_BIT(FDSET_EVENT_CLOSED) |
                     FDSET_EVENT_BIT(FDSET_EVENT_SET_GONE)));
    assert_int_equal(fdset_next_event(manager, &event, 0), 0);
    int set = works(add_named(manager, "disk0", file_open("disk", O_RDWR), NULL, FDSET_KEEP));
    int fd = works(fdset_open(vmm, "/dev/fdset/disk0", O_RDWR | O_CLOEXEC));
    uint64_t lease = fdset_lease(vmm, fd);
    works(fdset_remove(manager, set, 0));
    works(fdset_close(vmm, fd));
    static const enum fdset_event_kind kinds[] = {FDSET_EVENT_ADDED, FDSET_EVENT_OPENED,
                                                  FDSET_EVENT_REMOVED, FDSET_EVENT_CLOSED,
                                                  FDSET_EVENT_SET_GONE};
    uint64_t sequence = 0;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        assert_int_equal(works(fdset_next_event(manager, &event, -1)), 1);
        assert_int_equal(event.kind, kinds[i]);
        assert_int_equal(event.set, set);
        assert_int_equal(event.lost, 0);
        assert_true(event.sequence > sequence);
        sequence = event.sequence;
        if (event.kind == FDSET_EVENT_OPENED) {
            assert_int_equal(event.lease, lease);
            assert_int_equal(event.pid, getpid());
            assert_string_equal(event.name, "vm7");
        }
    }
    assert_int_equal(fdset_next_event(manager, &event, 0), 0);
}

/* ------------------------------------------------------------------- a full table */

static void test_limits_of_the_helper(void **state) {
    helper_start((const char *[]){"--limit", "leases=1", "--limit", "members=1", NULL});
    works(fdset_vmm_attach_path(&vmm, helper_socket_path(ROLE(VMM)), "vm7"));
    works(fdset_manager_connect(&manager, helper_socket_path(ROLE(MANAGER)), "tool"));
    works(add_named(manager, "disk0", file_open("disk", O_RDONLY), NULL, FDSET_KEEP));
    int fd = works(fdset_open(vmm, "/dev/fdset/disk0", O_RDONLY | O_CLOEXEC));
    assert_int_equal(fdset_open(vmm, "/dev/fdset/disk0", O_RDONLY | O_CLOEXEC), -ENFILE);
    assert_non_null(strstr(fdset_error_text(), "--limit leases=N"));
    assert_int_equal(add_named(manager, "disk1", file_open("disk1", O_RDONLY), NULL, FDSET_KEEP),
                     -ENOSPC);
    works(fdset_close(vmm, fd));
    works(fdset_close(vmm, works(fdset_open(vmm, "/dev/fdset/disk0", O_RDONLY | O_CLOEXEC))));
}

/* ------------------------------------------------------------- opens that wait */

static void *run_open_wait(void *data) {
    int *fd = data;
    *fd = fdset_open_wait(vmm, "/dev/fdset/disk0", O_RDWR | O_CLOEXEC, 3600000);
    return NULL;
}

static void test_manager_passes_what_is_wanted(void **state) {
    pthread_t thread;
    int fd, file = file_open("disk", O_RDWR);
    begin();
    works(fdset_subscribe(manager, 0));
    assert_int_equal(pthread_create(&thread, NULL, run_open_wait, &fd), 0);
    struct fdset_event event = next_event(FDSET_EVENT_WANTED);
    assert_string_equal(event.path, "/dev/fdset/disk0");
    assert_int_equal(event.flags & O_ACCMODE, O_RDWR);
    assert_int_equal(event.wait_ms, 3600000);
    works(add_named(manager, "disk0", file, NULL, FDSET_KEEP));
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_serves(works(fd), file, O_RDWR);
    works(fdset_close(vmm, fd));
    assert_int_equal(fdset_open_wait(vmm, "/dev/fdset/disk1", O_RDWR, 1), -ENOENT);
}

/* ------------------------------------------------------------ owner and filter */

static size_t count_sets(const struct fdset_filter *filter) {
    struct fdset_listing *listing;
    works(fdset_query_filtered(manager, filter, &listing));
    size_t count = listing->count;
    fdset_listing_free(listing);
    return count;
}

static void test_owner_comes_back(void **state) {
    struct fdset_manager_options options = {.name = "tool", .owner = "vm7's keeper"};
    struct fdset_manager *keeper;
    struct fdset_listing *listing;
    begin();
    const char *path = helper_socket_path(ROLE(MANAGER));
    works(fdset_manager_connect_as(&keeper, path, &options));
    works(add_named(keeper, "disk0", file_open("disk", O_RDWR), "the disk", FDSET_CONNECTION));
    works(add_named(manager, "disk1", file_open("other", O_RDWR), "the other", FDSET_KEEP));
    fdset_manager_free(keeper);

    struct fdset_filter filter = {.owner = options.owner};
    works(fdset_manager_connect_as(&keeper, helper_socket_path(ROLE(MANAGER)), &options));
    works(fdset_query_filtered(keeper, &filter, &listing));
    assert_int_equal(listing->count, 1);
    assert_string_equal(listing->sets[0].name, "disk0");
    assert_string_equal(listing->sets[0].owner, options.owner);
    assert_false(listing->sets[0].orphaned);
    assert_int_equal(listing->sets[0].expires_ms, -1);
    assert_string_equal(listing->sets[0].members[0].opaque, "the disk");
    fdset_listing_free(listing);

    assert_int_equal(count_sets(&(struct fdset_filter){.opaque = "the other"}), 1);
    assert_int_equal(count_sets(&(struct fdset_filter){.opaque = "the oth"}), 0);
    assert_int_equal(count_sets(&(struct fdset_filter){.owner = "nobody"}), 0);
    assert_int_equal(count_sets(&(struct fdset_filter){.name = "disk1"}), 1);
    assert_int_equal(fdset_query_filtered(manager, &(struct fdset_filter){.name = "x"}, &listing),
                     -ENOENT);
    fdset_manager_free(keeper);
}

/* ------------------------------------------------------------------------ holds */

static void test_hold_keeps_a_set(void **state) {
    struct fdset_manager *maker;
    struct fdset_member member = {.fd = file_open("disk", O_RDWR)};
    struct fdset_add add = {.set = 5, .members = &member, .member_count = 1};
    begin();
    works(fdset_subscribe(manager, 0));
    works(fdset_manager_connect(&maker, helper_socket_path(ROLE(MANAGER)), "maker"));
    works(fdset_add_fds(maker, &add, 1));
    works(fdset_hold(vmm, "/dev/fdset/5"));
    works(fdset_hold(vmm, "/dev/fdset/5"));
    assert_int_equal(fdset_hold(vmm, "/dev/fdset/6"), -ENOENT);
    fdset_manager_free(maker);
    int fd = works(fdset_open(vmm, "/dev/fdset/5", O_RDWR | O_CLOEXEC));
    works(fdset_close(vmm, fd));
    struct fdset_filter filter = {.by_set = true, .set = 5};
    assert_int_equal(count_sets(&filter), 1);
    works(fdset_unhold(vmm, "/dev/fdset/5"));
    next_event(FDSET_EVENT_SET_GONE);
    assert_int_equal(fdset_open(vmm, "/dev/fdset/5", O_RDWR), -ENOENT);
}

/* ------------------------------------------------------------------------- looking */

/* One open uses the set up; a look does not, nor is it refused while another has it. */
static void test_look_opens_nothing(void **state) {
    struct fdset_look_result result;
    struct fdset_vmm *other;
    struct stat status;
    struct fdset_member member = {.fd = file_open("disk", O_RDWR), .sharing = FDSET_EXCLUSIVE};
    struct fdset_add add = {.set = 5, .members = &member, .member_count = 1};
    begin();
    works(add_named(manager, "disk0", file_open("disk", O_RDONLY), NULL, FDSET_ONCE));
    works(fdset_add_fds(manager, &add, 1));
    works(fdset_vmm_attach_path(&other, helper_socket_path(ROLE(VMM)), "other"));
    int held = works(fdset_open(other, "/dev/fdset/5", O_RDWR | O_CLOEXEC));
    works(fdset_look(vmm, "/dev/fdset/5", &result));
    assert_int_equal(result.modes, 1u << O_RDWR);
    assert_int_equal(fstat(member.fd, &status), 0);
    assert_memory_equal(&result.status, &status, sizeof(status));
    works(fdset_close(other, held));
    fdset_vmm_free(other);

    for (int i = 0; i < 10; i++)
        works(fdset_look(vmm, "/dev/fdset/disk0", &result));
    assert_int_equal(result.modes, 1u << O_RDONLY);
    works(fdset_close(vmm, works(fdset_open(vmm, "/dev/fdset/disk0", O_RDONLY | O_CLOEXEC))));
    assert_int_equal(fdset_look(vmm, "/dev/fdset/none", &result), -ENOENT);
    assert_int_equal(fdset_look(vmm, "/dev/fdset/01", &result), -EINVAL);
}

/* -------------------------------------------------------------------- event loop */

#define OPENS   400
#define THREADS 3

struct loop {
    int submitted, done, failed;
};

static void opened(struct fdset_vmm *of, int fd, void *context) {
    struct loop *loop = context;
    loop->done++;
    loop->failed += fd < 0 || fdset_close(of, fd) < 0;
}

static void *open_and_close(void *data) {
    for (int i = 0; i < OPENS / 4; i++) {
        int fd = fdset_open(vmm, "/dev/fdset/disk0", O_RDWR | O_CLOEXEC);
        if (fd < 0 || fdset_close(vmm, fd) < 0)
            return (void *)"an open or a close failed";
    }
    return NULL;
}

/* With a set "disk0". Returns what the loop is to poll. */
static int begin_threads(pthread_t threads[THREADS], void *(*run)(void *), void *data) {
    begin();
    works(add_named(manager, "disk0", file_open("disk", O_RDWR), NULL, FDSET_KEEP));
    int poll_fd = works(fdset_vmm_poll_fd(vmm));
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run, data), 0);
    return poll_fd;
}

static void end_threads(const pthread_t threads[THREADS]) {
    for (int i = 0; i < THREADS; i++) {
        void *problem;
        assert_int_equal(pthread_join(threads[i], &problem), 0);
        if (problem)
            fail_msg("%s", (const char *)problem);
    }
}

static void assert_opened_and_closed(uint64_t opens) {
    struct fdset_listing *listing;
    assert_int_equal(fdset_open(vmm, "/dev/fdset/none", O_RDWR), -ENOENT); /* all is worked off */
    works(fdset_query(manager, FDSET_ALL_SETS, &listing));
    assert_int_equal(listing->totals.leases, 0);
    assert_int_equal(listing->totals.opens, opens);
    fdset_listing_free(listing);
}

/* The loop's opens, and those of other threads that read each other's answers. */
static void test_loop_beside_threads(void **state) {
    pthread_t threads[THREADS];
    struct loop loop = {0};
    struct pollfd pollfd = {begin_threads(threads, open_and_close, NULL), POLLIN, 0};
    while (loop.done < OPENS) {
        int error = loop.submitted < OPENS
                        ? fdset_open_submit(vmm, "/dev/fdset/disk0", O_RDWR, 0, opened, &loop)
                        : -EAGAIN;
        loop.submitted += error == 0;
        if (error == -EAGAIN) {
            poll(&pollfd, 1, loop.submitted > loop.done ? -1 : 0);
            works(fdset_vmm_dispatch(vmm, 0));
        } else {
            works(error);
        }
    }
    end_threads(threads);
    assert_int_equal(loop.failed, 0);
    assert_opened_and_closed(OPENS + THREADS * (OPENS / 4));
}

/* Three submit, one dispatches, and that one does nothing but poll in between: what the
 * others have left unsent must not stay so. */
static void *submit_all(void *data) {
    for (int i = 0; i < OPENS / 4; i++) {
        int error;
        do {
            error = fdset_open_submit(vmm, "/dev/fdset/disk0", O_RDWR, 0, opened, data);
        } while (error == -EAGAIN && sched_yield() == 0);
        if (error)
            return (void *)"an open could not be submitted";
    }
    return NULL;
}

static void test_threads_submit_to_one_loop(void **state) {
    pthread_t threads[THREADS];
    struct loop loop = {0};
    struct pollfd pollfd = {begin_threads(threads, submit_all, &loop), POLLIN, 0};
    while (loop.done < THREADS * (OPENS / 4)) {
        assert_int_equal(poll(&pollfd, 1, -1), 1);
        works(fdset_vmm_dispatch(vmm, 0));
    }
    end_threads(threads);
    assert_int_equal(loop.failed, 0);
    assert_opened_and_closed(THREADS * (OPENS / 4));
}

/* All wait in the helper as it is killed. */
static void test_killed_with_opens_under_way(void **state) {
    struct loop loop = {0};
    struct helper *helper = begin();
    works(fdset_subscribe(manager, 0));
    for (; loop.submitted < 5; loop.submitted++)
        works(fdset_open_submit(vmm, "/dev/fdset/disk0", O_RDWR, 3600000, opened, &loop));
    for (int i = 0; i < 5; i++)
        next_event(FDSET_EVENT_WANTED);
    assert_int_equal(fdset_vmm_dispatch(vmm, 0), 0);
    kill(helper->pid, SIGKILL);
    helper_wait(helper);
    int result;
    while ((result = fdset_vmm_dispatch(vmm, -1)) > 0) {
    }
    assert_int_equal(result, -ECONNRESET);
    assert_int_equal(loop.done, 5);
    assert_int_equal(loop.failed, 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        glue_test(test_close_that_waits_leaves_no_lock),
        glue_test(test_a_set_from_its_beginning_to_its_end),
        glue_test(test_limits_of_the_helper),
        glue_test(test_manager_passes_what_is_wanted),
        glue_test(test_owner_comes_back),
        glue_test(test_hold_keeps_a_set),
        glue_test(test_look_opens_nothing),
        glue_test(test_loop_beside_threads),
        glue_test(test_threads_submit_to_one_loop),
        glue_test(test_killed_with_opens_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

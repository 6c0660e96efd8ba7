/* SPDX-License-Identifier: MIT */
/* libfdset when the real helper is killed and started again at the same paths. */
#include "harness.h"

#include <errno.h>
#include <fdset/manager.h>
#include <fdset/vmm.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define THREADS  4
#define RESTARTS 5
#define HELD     20

static struct fdset_vmm *vmm;
static struct fdset_manager *manager;
static int file;

/* How often the VMM's connection went and came, as the callback was told. */
static atomic_int downs, ups, others;

static int works(int result) {
    if (result < 0)
        fail_msg("%s", fdset_error_text());
    return result;
}

static void tell(void *context, enum fdset_link link, const char *text) {
    if (link == FDSET_LINK_DOWN && downs == ups)
        downs++;
    else if (link == FDSET_LINK_UP && downs == ups + 1)
        ups++;
    else
        others++;
}

static void add_disk(void) {
    struct fdset_member member = {.fd = file, .sharing = FDSET_SHARED};
    struct fdset_add add = {
        .set = 1, .lifetime = FDSET_KEEP, .members = &member, .member_count = 1};
    works(fdset_add_fds(manager, &add, 1));
}

static struct helper *begin(void) {
    static const struct fdset_reconnect plan = {.first_ms = 1, .most_ms = 10, .state = tell};
    struct fdset_manager_options options = {.name = "tool", .owner = "keeper"};
    struct helper *helper = helper_start(NULL);
    downs = ups = others = 0;
    file = file_open("disk", O_RDWR);
    works(fdset_vmm_attach_path(&vmm, helper_socket_path(ROLE(VMM)), "vm7"));
    works(fdset_vmm_set_reconnect(vmm, &plan));
    works(fdset_manager_connect_as(&manager, helper_socket_path(ROLE(MANAGER)), &options));
    works(fdset_manager_set_reconnect(manager,
                                      &(struct fdset_reconnect){.first_ms = 1, .most_ms = 10}));
    works(fdset_subscribe(manager, 0));
    add_disk();
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

static void restart(struct helper *helper) {
    kill(helper->pid, SIGKILL);
    helper_wait(helper);
    /* When the new one's are counted, the library may be connected already. */
    int descriptors = helper->descriptors;
    helper_start(NULL)->descriptors = descriptors;
}

/* Returns when the manager has heard that there is a new helper. */
static void await_reconnected(void) {
    struct fdset_event event;
    do
        works(fdset_next_event(manager, &event, -1));
    while (event.kind != FDSET_EVENT_RECONNECTED);
}

static uint32_t leases(void) {
    struct fdset_listing *listing;
    assert_int_equal(fdset_open(vmm, "/dev/fdset/2", O_RDWR), -ENOENT); /* all is worked off */
    works(fdset_query(manager, FDSET_ALL_SETS, &listing));
    uint32_t count = listing->totals.leases;
    fdset_listing_free(listing);
    return count;
}

/* The new helper counts its leases from the beginning, so what is closed of the
 * old one's has the numbers of what is held now. */
static void test_old_leases_do_not_end_new_ones(void **state) {
    int old[HELD], new[HELD];
    struct helper *helper = begin();
    for (int i = 0; i < HELD; i++)
        old[i] = works(fdset_open(vmm, "/dev/fdset/1", O_RDWR | O_CLOEXEC));
    restart(helper);
    await_reconnected();
    add_disk();
    for (int i = 0; i < HELD; i++)
        new[i] = works(fdset_open(vmm, "/dev/fdset/1", O_RDWR | O_CLOEXEC));
    for (int i = 0; i < HELD; i++) {
        assert_true(same_description(old[i], file));
        assert_int_equal(fdset_lease(vmm, old[i]), 0);
        works(fdset_close(vmm, old[i]));
    }
    assert_int_equal(leases(), HELD);
    for (int i = 0; i < HELD; i++)
        works(fdset_close(vmm, new[i]));
    assert_int_equal(leases(), 0);
    assert_int_equal(downs, 1);
    assert_int_equal(ups, 1);
    assert_int_equal(others, 0);
}

/* ------------------------------------------------------------------- threads */

static atomic_bool stop;

/* Keeps some open over restarts, and closes them later. */
static void *open_and_close(void *data) {
    int held[8], count = 0;
    const char *problem = NULL;
    while (!stop && !problem) {
        int fd = fdset_open(vmm, "/dev/fdset/1", O_RDWR | O_CLOEXEC);
        if (fd >= 0)
            held[count++] = fd;
        else if (fd != -ECONNRESET && fd != -ENOENT)
            problem = "an open failed otherwise than by the restart";
        if (count == 8)
            while (count > 0)
                if (fdset_close(vmm, held[--count]) < 0)
                    problem = "a close failed";
    }
    while (count > 0)
        fdset_close(vmm, held[--count]);
    return (void *)problem;
}

static void test_restarts_under_threads(void **state) {
    pthread_t threads[THREADS];
    int pinned[HELD];
    struct helper *helper = begin();
    stop = false;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, open_and_close, NULL), 0);
    for (int round = 0; round < RESTARTS; round++) {
        restart(helper);
        await_reconnected();
        add_disk();
    }
    for (int i = 0; i < HELD; i++)
        while ((pinned[i] = fdset_open(vmm, "/dev/fdset/1", O_RDWR | O_CLOEXEC)) < 0)
            assert_int_equal(pinned[i], -ECONNRESET);
    stop = true;
    for (int i = 0; i < THREADS; i++) {
        void *problem;
        assert_int_equal(pthread_join(threads[i], &problem), 0);
        if (problem)
            fail_msg("%s", (const char *)problem);
    }
    assert_int_equal(leases(), HELD);
    for (int i = 0; i < HELD; i++)
        works(fdset_close(vmm, pinned[i]));
    assert_int_equal(leases(), 0);
    assert_int_equal(others, 0);
    assert_int_equal(ups, downs);
    assert_true(ups >= 1);
}

/* ---------------------------------------------------------------- giving up */

static void test_nobody_comes_back(void **state) {
    struct helper *helper = begin();
    works(fdset_vmm_set_reconnect(
        vmm, &(struct fdset_reconnect){.first_ms = 3600000, .give_up_ms = 1, .state = tell}));
    int fd = works(fdset_open(vmm, "/dev/fdset/1", O_RDWR | O_CLOEXEC));
    kill(helper->pid, SIGKILL);
    helper_wait(helper);
    assert_int_equal(fdset_open(vmm, "/dev/fdset/1", O_RDWR), -ECONNRESET);
    assert_int_equal(fdset_open(vmm, "/dev/fdset/1", O_RDWR), -ECONNRESET);
    assert_int_equal(downs, 1);
    assert_int_equal(ups, 0);
    assert_int_equal(others, 1); /* given up */
    works(fdset_close(vmm, fd));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        glue_test(test_old_leases_do_not_end_new_ones),
        glue_test(test_restarts_under_threads),
        glue_test(test_nobody_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

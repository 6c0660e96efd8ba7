/* SPDX-License-Identifier: MIT */
/* libfdset attached to the real helper: both of its halves, end to end. */
#include "harness.h"

#include <errno.h>
#include <fdset/manager.h>
#include <fdset/vmm.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* As long as a name can be, so that not many leases fit into a page. */
#define VMM_NAME "vm7-45678901234567890123456789012345678901234567890123456789012"

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
    works(fdset_vmm_attach_path(&vmm, helper_socket_path(ROLE(VMM)), VMM_NAME));
    works(fdset_manager_connect(&manager, helper_socket_path(ROLE(MANAGER)), "tool"));
    return helper;
}

/* Also where the test failed half-way. */
static int end(void **state) {
    fdset_vmm_free(vmm);
    fdset_manager_free(manager);
    vmm = NULL;
    manager = NULL;
    return harness_end(state);
}

#define glue_test(function) cmocka_unit_test_setup_teardown(function, harness_begin, end)

static void add(int set, int fd) {
    struct fdset_member member = {.fd = fd, .sharing = FDSET_SHARED};
    struct fdset_add request = {
        .set = set, .lifetime = FDSET_KEEP, .members = &member, .member_count = 1};
    works(fdset_add_fds(manager, &request, 1));
}

/* Returns when the helper has worked off all that the VMM has sent. */
static void barrier(void) {
    assert_int_equal(fdset_open(vmm, "/dev/fdset/2147483647", O_RDWR), -ENOENT);
}

static struct fdset_totals totals(void) {
    struct fdset_listing *listing;
    barrier();
    works(fdset_query(manager, FDSET_ALL_SETS, &listing));
    struct fdset_totals totals = listing->totals;
    fdset_listing_free(listing);
    return totals;
}

/* ------------------------------------------------------------------ one of each */

static void test_from_add_to_remove(void **state) {
    struct fdset_listing *listing;
    begin();
    int file = file_open("disk", O_RDWR);
    struct fdset_member member = {.fd = file, .opaque = "base:rw"};
    struct fdset_add request = {.set = FDSET_NEW_SET, .members = &member, .member_count = 1};
    works(fdset_add_fds(manager, &request, 1));
    assert_true(request.set >= 0);
    assert_int_not_equal(member.id, 0);

    char path[64];
    snprintf(path, sizeof(path), "/dev/fdset/%d", request.set);
    int fd = works(fdset_open(vmm, path, O_RDWR | O_CLOEXEC));
    assert_serves(fd, file, O_RDWR);

    works(fdset_query(manager, request.set, &listing));
    assert_int_equal(listing->count, 1);
    assert_int_equal(listing->sets[0].lifetime, FDSET_CONNECTION);
    assert_int_equal(listing->sets[0].member_count, 1);
    const struct fdset_member_info *info = &listing->sets[0].members[0];
    struct stat status;
    assert_int_equal(fstat(file, &status), 0);
    assert_int_equal(info->member, member.id);
    assert_int_equal(info->state, FDSET_MEMBER_LISTED);
    assert_string_equal(info->opaque, "base:rw");
    assert_int_equal(info->device, status.st_dev);
    assert_int_equal(info->inode, status.st_ino);
    assert_int_equal(info->lease_count, 1);
    assert_int_equal(info->leases[0].lease, fdset_lease(vmm, fd));
    assert_string_equal(info->leases[0].name, VMM_NAME);
    fdset_listing_free(listing);

    struct fdset_removed removed;
    assert_int_equal(works(fdset_remove_wait(manager, request.set, member.id, 0, &removed)), 1);
    assert_int_equal(removed.members, 1);
    assert_int_equal(removed.leases, 1);
    assert_int_equal(removed.closing, 0);
    works(fdset_close(vmm, fd));
    assert_int_equal(totals().leases, 0);

    works(fdset_add_fds(manager, &request, 1));
    assert_int_equal(works(fdset_remove(manager, request.set, 0)), 1);
    /* The set goes with its last descriptor, and that is closed. */
    assert_int_equal(fdset_query(manager, request.set, &listing), -ENOENT);
    assert_int_equal(fdset_remove(manager, request.set, 0), -ENOENT);
}

/* What a VMM is called, where its program does not say so. */
static void test_a_name_from_the_environment(void **state) {
    struct fdset_listing *listing;
    struct fdset_vmm *unnamed;
    begin();
    add(1, file_open("disk", O_RDONLY));
    static const char *const names[] = {NULL, "", "web server 7"};
    for (size_t i = 0; i < 3; i++) {
        if (names[i])
            setenv("FDSET_NAME", names[i], 1);
        works(fdset_vmm_attach_path(&unnamed, helper_socket_path(ROLE(VMM)), NULL));
        int fd = works(fdset_open(unnamed, "/dev/fdset/1", O_RDONLY | O_CLOEXEC));
        works(fdset_query(manager, 1, &listing));
        const struct fdset_lease_info *lease = &listing->sets[0].members[0].leases[0];
        assert_string_equal(lease->name, i == 2 ? names[2] : program_invocation_short_name);
        assert_int_equal(lease->pid, getpid());
        fdset_listing_free(listing);
        works(fdset_close(unnamed, fd));
        fdset_vmm_free(unnamed);
    }
    unsetenv("FDSET_NAME");
}

static void test_refusals_have_their_errno_and_a_text(void **state) {
    begin();
    add(1, file_open("disk", O_RDONLY));
    const struct {
        const char *path;
        int flags, error;
    } cases[] = {
        {"/dev/fdset/2", O_RDONLY, ENOENT},          {"/dev/fdset/1", O_RDWR, EACCES},
        {"/dev/fdset/01", O_RDONLY, EINVAL},         {"/dev/fdset/", O_RDONLY, EINVAL},
        {"/etc/passwd", O_RDONLY, EINVAL},           {"", O_RDONLY, EINVAL},
        {"/dev/fdset/1", O_RDONLY | O_SYNC, EINVAL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fdset_close(vmm, works(fdset_open(vmm, "/dev/fdset/1", O_RDONLY)));
        assert_int_equal(fdset_open(vmm, cases[i].path, cases[i].flags), -cases[i].error);
        assert_true(strlen(fdset_error_text()) > 10);
    }
    int other = file_open("other", O_RDONLY);
    struct fdset_member member = {.fd = other};
    struct fdset_add request = {.set = 1, .members = &member, .member_count = 1};
    assert_int_equal(fdset_add_fds(manager, &request, 1), -EXDEV);
}

static void test_roles(void **state) {
    struct fdset_manager *observer;
    struct fdset_vmm *none;
    struct fdset_listing *listing;
    begin();
    assert_int_equal(fdset_vmm_attach_path(&none, helper_socket_path(ROLE(MANAGER)), NULL), -EPERM);
    works(fdset_manager_connect(&observer, helper_socket_path(ROLE(OBSERVER)), NULL));
    works(fdset_query(observer, FDSET_ALL_SETS, &listing));
    fdset_listing_free(listing);
    assert_int_equal(fdset_remove(observer, 1, 0), -EPERM);
    fdset_manager_free(observer);
}

static void test_truncation(void **state) {
    struct stat status;
    begin();
    int file = file_open("log", O_WRONLY);
    assert_int_equal(ftruncate(file, 100), 0);
    add(1, file);
    works(fdset_close(vmm, works(fdset_open(vmm, "/dev/fdset/1", O_WRONLY))));
    assert_int_equal(fstat(file, &status), 0);
    assert_int_equal(status.st_size, 100);
    works(fdset_close(vmm, works(fdset_open(vmm, "/dev/fdset/1", O_WRONLY | O_TRUNC))));
    assert_int_equal(fstat(file, &status), 0);
    assert_int_equal(status.st_size, 0);
}

/* ------------------------------------------------------------------ many of each */

#define MANY 600

static void test_open_many(void **state) {
    static struct fdset_open_request requests[MANY];
    int file = file_open("disk", O_RDWR);
    begin();
    add(1, file);
    for (size_t i = 0; i < MANY; i++)
        requests[i] = (struct fdset_open_request){.path = i % 3 ? "/dev/fdset/1" : "/dev/fdset/2",
                                                  .flags = O_RDWR | O_CLOEXEC};
    assert_int_equal(works(fdset_open_many(vmm, requests, MANY)), 400);
    assert_int_equal(totals().leases, 400);
    for (size_t i = 0; i < MANY; i++) {
        if (i % 3 == 0) {
            assert_int_equal(requests[i].fd, -ENOENT);
            continue;
        }
        assert_serves(requests[i].fd, file, O_RDWR);
        works(fdset_close(vmm, requests[i].fd));
    }
    assert_int_equal(totals().leases, 0);
}

/* So much that the listing comes in many pages: they end in sets, and with 400
 * leases of one member, in members. */
static void test_query_of_many(void **state) {
    static struct fdset_member members[500];
    static struct fdset_open_request requests[400];
    struct fdset_listing *listing;
    char label[101];
    size_t found = 0;
    int file = file_open("disk", O_RDWR), opens[100];
    begin();
    for (int i = 0; i < 100; i++)
        opens[i] = file_open("disk", O_RDWR);
    memset(label, 'l', 100);
    label[100] = '\0';
    for (int set = 0; set < 5; set++) {
        for (int i = 0; i < 100; i++)
            members[set * 100 + i] = (struct fdset_member){.fd = opens[i], .opaque = label};
        struct fdset_add request = {
            .set = set, .members = &members[set * 100], .member_count = 100};
        works(fdset_add_fds(manager, &request, 1));
    }
    add(5, file);
    for (int i = 0; i < 400; i++)
        requests[i] =
            (struct fdset_open_request){.path = "/dev/fdset/5", .flags = O_RDWR | O_CLOEXEC};
    assert_int_equal(works(fdset_open_many(vmm, requests, 400)), 400);

    works(fdset_query(manager, FDSET_ALL_SETS, &listing));
    assert_int_equal(listing->count, 6);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(listing->sets[i].set, i);
        assert_int_equal(listing->sets[i].member_count, 100);
        for (size_t j = 0; j < 100; j++)
            assert_int_equal(listing->sets[i].members[j].member, members[found++].id);
    }
    const struct fdset_info *last = &listing->sets[5];
    assert_int_equal(last->member_count, 1);
    assert_int_equal(last->members[0].lease_count, 400);
    for (size_t i = 0; i < 400; i++) {
        assert_int_equal(last->members[0].leases[i].lease, fdset_lease(vmm, requests[i].fd));
        works(fdset_close(vmm, requests[i].fd));
    }
    fdset_listing_free(listing);
}

/* ------------------------------------------------------------------- threads */

#define THREADS 8
#define ROUNDS  200

struct worker {
    pthread_t thread;
    char path[32];
    ino_t inode;
};

/* No checks but by the returned sentence: this is not the test's thread. */
static void *open_and_close(void *data) {
    struct worker *worker = data;
    struct stat status;
    for (int i = 0; i < ROUNDS; i++) {
        int fd = fdset_open(vmm, worker->path, O_RDWR | O_CLOEXEC);
        if (fd < 0)
            return (void *)"an open failed";
        if (fstat(fd, &status) < 0 || status.st_ino != worker->inode)
            return (void *)"an open gave another file";
        if (fdset_close(vmm, fd) < 0)
            return (void *)"a close failed";
    }
    return NULL;
}

static void test_threads(void **state) {
    struct worker workers[THREADS];
    struct stat status;
    begin();
    for (int i = 0; i < THREADS; i++) {
        snprintf(workers[i].path, sizeof(workers[i].path), "file%d", i);
        int file = file_open(workers[i].path, O_RDWR);
        assert_int_equal(fstat(file, &status), 0);
        workers[i].inode = status.st_ino;
        add(i, file);
        snprintf(workers[i].path, sizeof(workers[i].path), "/dev/fdset/%d", i);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&workers[i].thread, NULL, open_and_close, &workers[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        void *problem;
        assert_int_equal(pthread_join(workers[i].thread, &problem), 0);
        if (problem)
            fail_msg("%s", (const char *)problem);
    }
    struct fdset_totals after = totals();
    assert_int_equal(after.leases, 0);
    assert_int_equal(after.opens, THREADS * ROUNDS);
    assert_int_equal(after.closes, THREADS * ROUNDS);
}

/* ------------------------------------------------------------------ processes */

static void test_child_that_closes_and_ends_gives_nothing_back(void **state) {
    int status, file = file_open("disk", O_RDWR);
    begin();
    add(1, file);
    int fd = works(fdset_open(vmm, "/dev/fdset/1", O_RDWR | O_CLOEXEC));
    pid_t child = fork();
    if (child == 0) {
        bool right = fdset_close(vmm, fd) == 0;
        fdset_vmm_free(vmm);
        _exit(!right);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(totals().leases, 1);
    works(fdset_close(vmm, fd));
    assert_int_equal(totals().leases, 0);
}

static void test_free_gives_all_leases_back(void **state) {
    struct helper *helper = begin();
    int file = file_open("disk", O_RDWR);
    add(1, file);
    int fd = works(fdset_open(vmm, "/dev/fdset/1", O_RDWR | O_CLOEXEC));
    fdset_vmm_free(vmm);
    vmm = NULL;
    harness_keep(fd);
    assert_serves(fd, file, O_RDWR);
    client_wait_idle(helper->manager);
}

static void test_helper_is_killed(void **state) {
    struct fdset_listing *listing;
    struct helper *helper = begin();
    int file = file_open("disk", O_RDWR);
    add(1, file);
    int fd = works(fdset_open(vmm, "/dev/fdset/1", O_RDWR | O_CLOEXEC));
    kill(helper->pid, SIGKILL);
    helper_wait(helper);
    assert_int_equal(fdset_open(vmm, "/dev/fdset/1", O_RDWR), -ECONNRESET);
    assert_string_equal(fdset_error_text(), "fdset-helper has hung up or died");
    assert_int_equal(fdset_open(vmm, "/dev/fdset/1", O_RDWR), -ECONNRESET);
    assert_int_equal(fdset_query(manager, FDSET_ALL_SETS, &listing), -ECONNRESET);
    assert_serves(fd, file, O_RDWR);
    works(fdset_close(vmm, fd));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        glue_test(test_from_add_to_remove),
        glue_test(test_a_name_from_the_environment),
        glue_test(test_refusals_have_their_errno_and_a_text),
        glue_test(test_roles),
        glue_test(test_truncation),
        glue_test(test_open_many),
        glue_test(test_query_of_many),
        glue_test(test_threads),
        glue_test(test_child_that_closes_and_ends_gives_nothing_back),
        glue_test(test_free_gives_all_leases_back),
        glue_test(test_helper_is_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

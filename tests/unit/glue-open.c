/* libfdset's opens: what is asked, what comes of each kind of answer, and that
 * nothing is left of one that failed: no descriptor here, no lease there. */
#include "fake-helper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* A memfd of 100 bytes, opened once more with `flags`. */
static int file_of_100_bytes(int flags) {
    char path[64];
    int fd = memfd_create("file", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 100), 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int opened = open(path, flags | O_CLOEXEC);
    assert_true(opened >= 0);
    close(fd);
    return opened;
}

static off_t file_size(int fd) {
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    return status.st_size;
}

/* Opens with `flags`; the answer is lease 5 of `answer`. */
static int open_answered(struct call *call, int flags, bool truncate, int answer) {
    call_open(call, "/dev/fdset/1", flags);
    Request *request = fake_receive(REQUEST_IS(OPEN));
    assert_string_equal(request->open->path, "/dev/fdset/1");
    assert_int_equal(request->open->flags, flags);
    fake_opened(request->serial, 5, truncate, answer);
    return call_end(call);
}

/* ------------------------------------------------------------------ one open */

static void test_the_descriptor_is_the_one_that_was_sent(void **state) {
    struct call call;
    struct stat got, sent;
    int file = file_of_100_bytes(O_RDWR);
    fake_begin_vmm();
    int fd = open_answered(&call, O_RDWR | O_DIRECT | O_CLOEXEC, false, file);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &got), 0);
    assert_int_equal(fstat(file, &sent), 0);
    assert_int_equal(got.st_ino, sent.st_ino);
    assert_int_equal(fdset_lease(fake.vmm, fd), 5);
    assert_int_equal(file_size(file), 100);
    close(fd);
    close(file);
    fake_end();
}

static void test_close_on_exec_is_as_asked(void **state) {
    struct call call;
    int null = null_open(O_RDWR);
    fake_begin_vmm();
    int with = open_answered(&call, O_RDWR | O_CLOEXEC, false, null);
    int without = open_answered(&call, O_RDWR, false, null);
    assert_int_equal(fcntl(with, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(without, F_GETFD), 0);
    close(with);
    close(without);
    close(null);
    fake_end();
}

static void test_refused(void **state) {
    struct call call;
    fake_begin_vmm();
    call_open(&call, "/dev/fdset/3", O_RDWR);
    fake_error(fake_receive(REQUEST_IS(OPEN))->serial, EACCES, "set 3 has no such member");
    assert_int_equal(call_end(&call), -EACCES);
    assert_string_equal(call.text, "set 3 has no such member");
    fake_end();
}

static void test_path_that_cannot_be_sent(void **state) {
    static char path[20000];
    memset(path, 'a', sizeof(path) - 1);
    fake_begin_vmm();
    assert_int_equal(fdset_open(fake.vmm, path, O_RDWR), -EINVAL);
    assert_int_equal(fdset_open(fake.vmm, NULL, O_RDWR), -EFAULT);
    fake_end();
}

/* ----------------------------------------------------------------- truncation */

static void test_truncates_where_it_is_told_to(void **state) {
    struct call call;
    int file = file_of_100_bytes(O_RDWR);
    fake_begin_vmm();
    int fd = open_answered(&call, O_RDWR | O_TRUNC, false, file);
    assert_int_equal(file_size(file), 100); /* keep_content: the helper decides */
    close(fd);
    fd = open_answered(&call, O_RDWR | O_TRUNC, true, file);
    assert_true(fd >= 0);
    assert_int_equal(file_size(file), 0);
    close(fd);
    close(file);
    /* A lease whose descriptor came again is over. */
    expect_close(5);
    fake_end();
}

static void test_truncation_fails(void **state) {
    struct call call;
    int file = file_of_100_bytes(O_RDONLY);
    fake_begin_vmm();
    assert_int_equal(open_answered(&call, O_RDWR | O_TRUNC, true, file), -EINVAL);
    assert_non_null(strstr(call.text, "truncate"));
    expect_close(5);
    close(file);
    fake_end();
}

/* open(2) ignores O_TRUNC for a device; ftruncate(2) does not. */
static void test_device_is_not_truncated(void **state) {
    struct call call;
    int null = null_open(O_RDWR);
    fake_begin_vmm();
    int fd = open_answered(&call, O_RDWR | O_TRUNC, true, null);
    assert_true(fd >= 0);
    close(fd);
    close(null);
    fake_end();
}

/* ---------------------------------------------------- descriptors that are short */

static void opened_with(uint32_t serial, uint32_t announced, const int *fds, size_t count) {
    Reply reply = FDSET__V1__REPLY__INIT;
    Fdset__V1__Opened opened = FDSET__V1__OPENED__INIT;
    reply.serial = serial;
    reply.body_case = REPLY_IS(OPENED);
    reply.opened = &opened;
    opened.lease = 5;
    fake_send(&reply, announced, fds, count);
}

static void test_fewer_descriptors_than_announced(void **state) {
    struct call call;
    fake_begin_vmm();
    call_open(&call, "/dev/fdset/1", O_RDWR);
    opened_with(fake_receive(REQUEST_IS(OPEN))->serial, 1, NULL, 0);
    assert_int_equal(call_end(&call), -EMFILE);
    assert_non_null(strstr(call.text, "RLIMIT_NOFILE"));
    expect_close(5);
    fake_end();
}

static void test_wrong_number_of_descriptors(void **state) {
    int null = null_open(O_RDWR), both[2] = {null, null};
    struct call call;
    fake_begin_vmm();
    call_open(&call, "/dev/fdset/1", O_RDWR);
    opened_with(fake_receive(REQUEST_IS(OPEN))->serial, 2, both, 2);
    assert_int_equal(call_end(&call), -EPROTO);
    expect_close(5);
    call_open(&call, "/dev/fdset/1", O_RDWR);
    opened_with(fake_receive(REQUEST_IS(OPEN))->serial, 0, NULL, 0);
    assert_int_equal(call_end(&call), -EPROTO);
    expect_close(5);
    close(null);
    fake_end();
}

static struct rlimit normal_limit;

/* From now on this process can have `count` more descriptors. */
static void leave_room_for(rlim_t count) {
    int lowest_free = dup(fake.socket);
    close(lowest_free);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &normal_limit), 0);
    struct rlimit low = {(rlim_t)lowest_free + count, normal_limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
}

static void make_room(void) {
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &normal_limit), 0);
}

static void test_own_limit_reached(void **state) {
    struct call call;
    int null = null_open(O_RDWR);
    fake_begin_vmm();
    leave_room_for(0);
    int result = open_answered(&call, O_RDWR, false, null);
    make_room();
    assert_int_equal(result, -EMFILE);
    assert_non_null(strstr(call.text, "RLIMIT_NOFILE"));
    expect_close(5);

    int fd = open_answered(&call, O_RDWR, false, null);
    assert_true(fd >= 0);
    close(fd);
    close(null);
    fake_end();
}

/* As many arrive as were announced, but the kernel says that it dropped some. */
static void test_own_limit_reached_by_more_than_announced(void **state) {
    int null = null_open(O_RDWR), three[3] = {null, null, null};
    struct call call;
    fake_begin_vmm();
    leave_room_for(1);
    call_open(&call, "/dev/fdset/1", O_RDWR);
    opened_with(fake_receive(REQUEST_IS(OPEN))->serial, 1, three, 3);
    int result = call_end(&call);
    make_room();
    assert_int_equal(result, -EMFILE);
    expect_close(5);
    close(null);
    fake_end();
}

/* ------------------------------------------------------------------ open_many */

#define MANY 600

static struct fdset_open_request requests[MANY];

static void requests_fill(size_t count) {
    static char paths[MANY][32];
    for (size_t i = 0; i < count; i++) {
        snprintf(paths[i], sizeof(paths[i]), "/dev/fdset/%zu", i);
        requests[i] = (struct fdset_open_request){paths[i], O_RDWR | O_CLOEXEC, -1000};
    }
}

/* Set N gives lease N + 1; where N is a multiple of 3, it does not exist. */
static bool refused(size_t set) {
    return set % 3 == 0;
}

/* Answers one OpenMany. Returns how many opens it was. */
static size_t serve_open_many(size_t first_set, int fd, size_t short_by) {
    static Fdset__V1__OpenedMany__Result results[250], *pointers[250];
    static Fdset__V1__Opened opened[250];
    static int fds[250];
    Fdset__V1__Error error = FDSET__V1__ERROR__INIT;
    Fdset__V1__OpenedMany many = FDSET__V1__OPENED_MANY__INIT;
    Reply reply = FDSET__V1__REPLY__INIT;
    Request *request = fake_receive(REQUEST_IS(OPEN_MANY));
    size_t count = request->open_many->n_opens, succeeded = 0;
    assert_in_range(count, 1, 250);
    error.error_number = ENOENT;
    error.text = (char *)"no such set";
    for (size_t i = 0; i < count; i++) {
        size_t set = strtoul(request->open_many->opens[i]->path + 11, NULL, 10);
        assert_int_equal(set, first_set + i);
        fdset__v1__opened_many__result__init(&results[i]);
        pointers[i] = &results[i];
        if (refused(set)) {
            results[i].outcome_case = FDSET__V1__OPENED_MANY__RESULT__OUTCOME_ERROR;
            results[i].error = &error;
        } else {
            fdset__v1__opened__init(&opened[i]);
            opened[i].lease = (uint32_t)set + 1;
            results[i].outcome_case = FDSET__V1__OPENED_MANY__RESULT__OUTCOME_OPENED;
            results[i].opened = &opened[i];
            fds[succeeded++] = fd;
        }
    }
    many.n_results = count;
    many.results = pointers;
    reply.serial = request->serial;
    reply.body_case = REPLY_IS(OPENED_MANY);
    reply.opened_many = &many;
    fake_send(&reply, (uint32_t)succeeded, fds, succeeded - short_by);
    return count;
}

static void test_open_many_mixed(void **state) {
    struct call call;
    int null = null_open(O_RDWR), succeeded = 0;
    fake_begin_vmm();
    requests_fill(MANY);
    call_open_many(&call, requests, MANY);
    for (size_t served = 0; served < MANY;)
        served += serve_open_many(served, null, 0);
    int result = call_end(&call);
    for (size_t i = 0; i < MANY; i++) {
        if (refused(i)) {
            assert_int_equal(requests[i].fd, -ENOENT);
            continue;
        }
        succeeded++;
        assert_int_equal(fdset_lease(fake.vmm, requests[i].fd), i + 1);
        assert_int_equal(fdset_close(fake.vmm, requests[i].fd), 0);
        expect_close((uint32_t)i + 1);
    }
    assert_int_equal(result, succeeded);
    assert_string_equal(call.text, "no such set");
    close(null);
    fake_end();
}

/* Paths that cannot be sent do not spoil the others. */
static void test_open_many_with_bad_paths(void **state) {
    static char path[20000];
    struct call call;
    int null = null_open(O_RDWR);
    memset(path, 'a', sizeof(path) - 1);
    fake_begin_vmm();
    requests_fill(6);
    requests[0].path = NULL;
    requests[3].path = path;
    call_open_many(&call, requests, 6);
    assert_int_equal(serve_open_many(1, null, 0), 2);
    assert_int_equal(serve_open_many(4, null, 0), 2);
    assert_int_equal(call_end(&call), 4);
    assert_int_equal(requests[0].fd, -EFAULT);
    assert_int_equal(requests[3].fd, -EINVAL);
    for (size_t i = 0; i < 6; i++) {
        if (i % 3 == 0)
            continue;
        assert_int_equal(fdset_lease(fake.vmm, requests[i].fd), i + 1);
        close(requests[i].fd);
    }
    close(null);
    fake_end();
}

static void test_open_many_of_none(void **state) {
    fake_begin_vmm();
    assert_int_equal(fdset_open_many(fake.vmm, NULL, 0), 0);
    fake_end();
}

/* The paths are as long as can be: fewer than 250 fit into a packet. */
static void test_open_many_long_paths(void **state) {
    static char path[256];
    struct call call;
    fake_begin_vmm();
    memset(path, 'a', sizeof(path) - 1);
    requests_fill(100);
    for (size_t i = 0; i < 100; i++)
        requests[i].path = path;
    call_open_many(&call, requests, 100);
    Request *request = fake_receive(REQUEST_IS(OPEN_MANY));
    assert_in_range(request->open_many->n_opens, 50, 99);
    fake_error(request->serial, ENOSPC, "enough");
    assert_int_equal(call_end(&call), -ENOSPC);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(requests[i].fd, -ENOSPC);
    fake_end();
}

/* All leases of an exchange that failed are given back, those of exchanges
 * before it too. */
static void test_open_many_short_of_descriptors(void **state) {
    struct call call;
    int null = null_open(O_RDWR);
    size_t leases = 0;
    fake_begin_vmm();
    requests_fill(300);
    call_open_many(&call, requests, 300);
    size_t first = serve_open_many(0, null, 0);
    assert_int_equal(first, 250);
    serve_open_many(first, null, 1);
    assert_int_equal(call_end(&call), -EMFILE);
    for (size_t i = 0; i < 300; i++)
        assert_int_equal(requests[i].fd, -EMFILE);
    while (leases < 200)
        leases += fake_receive(REQUEST_IS(CLOSE))->close->n_leases;
    assert_int_equal(leases, 200);
    close(null);
    fake_end();
}

static void test_open_many_at_own_limit(void **state) {
    struct call call;
    int null = null_open(O_RDWR);
    fake_begin_vmm();
    requests_fill(9);
    leave_room_for(2);
    call_open_many(&call, requests, 9);
    serve_open_many(0, null, 0);
    int result = call_end(&call);
    make_room();
    assert_int_equal(result, -EMFILE);
    assert_int_equal(fake_receive(REQUEST_IS(CLOSE))->close->n_leases, 6);
    close(null);
    fake_end();
}

/* EAGAIN: the member is being settled, and a single open waits for that. */
static void test_open_many_asks_again_where_it_must_wait(void **state) {
    Fdset__V1__OpenedMany__Result result = FDSET__V1__OPENED_MANY__RESULT__INIT, *pointer = &result;
    Fdset__V1__Error error = FDSET__V1__ERROR__INIT;
    Fdset__V1__OpenedMany many = FDSET__V1__OPENED_MANY__INIT;
    Reply reply = FDSET__V1__REPLY__INIT;
    struct call call;
    int null = null_open(O_RDWR);
    fake_begin_vmm();
    requests_fill(1);
    call_open_many(&call, requests, 1);
    reply.serial = fake_receive(REQUEST_IS(OPEN_MANY))->serial;
    reply.body_case = REPLY_IS(OPENED_MANY);
    reply.opened_many = &many;
    many.n_results = 1;
    many.results = &pointer;
    result.outcome_case = FDSET__V1__OPENED_MANY__RESULT__OUTCOME_ERROR;
    result.error = &error;
    error.error_number = EAGAIN;
    fake_reply(&reply, NULL, 0);
    Request *request = fake_receive(REQUEST_IS(OPEN));
    assert_string_equal(request->open->path, "/dev/fdset/0");
    fake_opened(request->serial, 8, false, null);
    assert_int_equal(call_end(&call), 1);
    assert_int_equal(fdset_lease(fake.vmm, requests[0].fd), 8);
    close(requests[0].fd);
    close(null);
    fake_end();
}

static void test_open_many_with_too_few_results(void **state) {
    Fdset__V1__OpenedMany many = FDSET__V1__OPENED_MANY__INIT;
    Reply reply = FDSET__V1__REPLY__INIT;
    struct call call;
    fake_begin_vmm();
    requests_fill(2);
    call_open_many(&call, requests, 2);
    reply.serial = fake_receive(REQUEST_IS(OPEN_MANY))->serial;
    reply.body_case = REPLY_IS(OPENED_MANY);
    reply.opened_many = &many;
    fake_reply(&reply, NULL, 0);
    assert_int_equal(call_end(&call), -EPROTO);
    fake_end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        oracle_test(test_the_descriptor_is_the_one_that_was_sent),
        oracle_test(test_close_on_exec_is_as_asked),
        oracle_test(test_refused),
        oracle_test(test_path_that_cannot_be_sent),
        oracle_test(test_truncates_where_it_is_told_to),
        oracle_test(test_truncation_fails),
        oracle_test(test_device_is_not_truncated),
        oracle_test(test_fewer_descriptors_than_announced),
        oracle_test(test_wrong_number_of_descriptors),
        oracle_test(test_own_limit_reached),
        oracle_test(test_own_limit_reached_by_more_than_announced),
        oracle_test(test_open_many_mixed),
        oracle_test(test_open_many_with_bad_paths),
        oracle_test(test_open_many_of_none),
        oracle_test(test_open_many_long_paths),
        oracle_test(test_open_many_short_of_descriptors),
        oracle_test(test_open_many_at_own_limit),
        oracle_test(test_open_many_asks_again_where_it_must_wait),
        oracle_test(test_open_many_with_too_few_results),
    };
    /* Valgrind keeps RLIMIT_NOFILE for itself and never tells the kernel. */
    if (getenv("FDSET_TEST_VALGRIND"))
        cmocka_set_skip_filter("*_own_limit*");
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* libfdset's open_many: each open has its own result, whatever the packets that
 * carry them; and where an exchange fails, nothing is left of any. */
#include "fake-helper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MANY 600

static struct fdset_open_request requests[MANY];

static void requests_fill(size_t count) {
    static char paths[MANY][32];
    for (size_t i = 0; i < count; i++) {
        snprintf(paths[i], sizeof(paths[i]), "/dev/fdset/%zu", i);
        requests[i] =
            (struct fdset_open_request){.path = paths[i], .flags = O_RDWR | O_CLOEXEC, .fd = -1000};
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

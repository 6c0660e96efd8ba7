/* SPDX-License-Identifier: MIT */
/* libfdset's open: what is asked, what comes of each kind of answer, and that
 * nothing is left of one that failed: no descriptor here, no lease there. */
#include "fake-helper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
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

static void note_nothing(struct fdset_vmm *vmm, int fd, void *context) {
}

/* So full that nothing more can be sent before the helper reads. */
static int fill(int socket) {
    char junk[1000] = "";
    int count = 0;
    while (send(socket, junk, sizeof(junk), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        count++;
    assert_int_equal(errno, EAGAIN);
    return count;
}

/* To give the lease back takes long, and what comes meanwhile has a fault of its own:
 * that is not why this open failed. */
static void test_another_opens_failure_is_not_told(void **state) {
    struct call call;
    Reply reply = FDSET__V1__REPLY__INIT;
    Fdset__V1__Opened opened = FDSET__V1__OPENED__INIT;
    char junk[1000];
    int file = file_of_100_bytes(O_RDONLY), unread = 1;
    fake_begin_vmm();
    assert_int_equal(fdset_open_submit(fake.vmm, "/dev/fdset/1", O_RDWR, 0, note_nothing, NULL), 0);
    reply.serial = fake_receive(REQUEST_IS(OPEN))->serial;
    call_open(&call, "/dev/fdset/1", O_RDWR | O_TRUNC);
    uint32_t serial = fake_receive(REQUEST_IS(OPEN))->serial;
    int count = fill(fdset_vmm_socket(fake.vmm));
    fake_opened(serial, 5, true, file);
    reply.body_case = REPLY_IS(OPENED);
    reply.opened = &opened;
    opened.lease = 6;
    fake_send(&reply, 1, NULL, 0); /* its descriptor got lost */
    while (unread > 0)
        assert_int_equal(ioctl(fake.socket, SIOCOUTQ, &unread), 0);
    for (int i = 0; i < count; i++)
        assert_int_equal(recv(fake.socket, junk, sizeof(junk), 0), sizeof(junk));
    assert_int_equal(call_end(&call), -EINVAL);
    assert_non_null(strstr(call.text, "cannot be truncated"));
    expect_close(5);
    assert_int_equal(fdset_vmm_dispatch(fake.vmm, -1), 1);
    expect_close(6);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        oracle_test(test_the_descriptor_is_the_one_that_was_sent),
        oracle_test(test_close_on_exec_is_as_asked),
        oracle_test(test_refused),
        oracle_test(test_path_that_cannot_be_sent),
        oracle_test(test_truncates_where_it_is_told_to),
        oracle_test(test_truncation_fails),
        oracle_test(test_another_opens_failure_is_not_told),
        oracle_test(test_device_is_not_truncated),
        oracle_test(test_fewer_descriptors_than_announced),
        oracle_test(test_wrong_number_of_descriptors),
        oracle_test(test_own_limit_reached),
        oracle_test(test_own_limit_reached_by_more_than_announced),
    };
    /* Valgrind keeps RLIMIT_NOFILE for itself and never tells the kernel. */
    if (getenv("FDSET_TEST_VALGRIND"))
        cmocka_set_skip_filter("*_own_limit*");
    return cmocka_run_group_tests(tests, NULL, NULL);
}

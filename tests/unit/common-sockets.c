/* SPDX-License-Identifier: MIT */
/* Sockets by their paths. */
#include "oracle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/sockets.h"

#define TYPE (SOCK_SEQPACKET | SOCK_CLOEXEC)

static char directory[] = "/tmp/common-sockets-XXXXXX";

static int group_setup(void **state) {
    return mkdtemp(directory) && chdir(directory) == 0 ? 0 : -1;
}

static int group_teardown(void **state) {
    unlink("s");
    unlink("file");
    return rmdir(directory);
}

static int listen_at(const char *path, int backlog) {
    struct sockaddr_un address;
    int fd = socket(AF_UNIX, TYPE, 0);
    assert_true(socket_address(&address, path));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

static void test_address(void **state) {
    struct sockaddr_un address;
    char path[109];
    memset(path, 'x', sizeof(path));
    path[108] = '\0';
    assert_false(socket_address(&address, path));
    assert_int_equal(socket_connect(path, TYPE, 0), -ENAMETOOLONG);
    path[107] = '\0';
    assert_true(socket_address(&address, path));
    assert_string_equal(address.sun_path, path);
}

static void test_connect(void **state) {
    char byte;
    assert_int_equal(socket_connect("s", TYPE, 0), -ENOENT);
    int listening = listen_at("s", 1), fd = socket_connect("s", TYPE, 20);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(recv(fd, &byte, 1, 0), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(socket_connect("s", SOCK_STREAM, 0), -EPROTOTYPE);
    close(fd);
    close(listening);
    assert_int_equal(socket_connect("s", TYPE, 0), -ECONNREFUSED);
    unlink("s");
}

static void test_full(void **state) {
    int listening = listen_at("s", 0), one = socket_connect("s", TYPE, 20);
    int two = socket_connect("s", TYPE, 20);
    assert_true(one >= 0);
    assert_int_equal(two, -EAGAIN);
    close(one);
    close(listening);
    unlink("s");
}

static void test_no_socket(void **state) {
    close(open("file", O_CREAT | O_WRONLY, 0600));
    assert_int_equal(socket_connect("file", TYPE, 0), -ENOTSOCK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_address),
        cmocka_unit_test(test_connect),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_no_socket),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}

/* SPDX-License-Identifier: MIT */
/* What a set takes only if it is told to: several files, and sockets. */
#include "harness.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static int disk;

static struct helper *start(void) {
    struct helper *helper = helper_start(NULL);
    disk = file_open("disk", O_RDWR);
    return helper;
}

static void test_a_set_of_several_files(void **state) {
    struct helper *helper = start();
    int log = file_open("log", O_WRONLY), next = file_open("next", O_RDONLY);
    struct new_member members[] = {{.fd = disk}, {.fd = log}}, more = {.fd = next};
    struct new_set set = {1, LIFETIME(KEEP), members, 2};
    client_add_refused(helper->manager, set, CODE(OTHER_FILE), EXDEV);
    set.mixed = true;
    client_add_new(helper->manager, set);
    assert_true(client_find_set(helper->manager, 1)->mixed);
    /* What it is it stays, whatever a later add says or does not say of it. */
    client_add_new(helper->manager, (struct new_set){1, 0, &more, 1});
    assert_serves(client_open(helper->vmm, "/dev/fdset/1", O_RDWR).fd, disk, O_RDWR);
    assert_serves(client_open(helper->vmm, "/dev/fdset/1", O_WRONLY).fd, log, O_WRONLY);
    assert_serves(client_open(helper->vmm, "/dev/fdset/1", O_RDONLY).fd, next, O_RDONLY);
    client_add_one(helper->manager, 2, disk);
    client_add_refused(helper->manager, (struct new_set){2, 0, &more, 1, .mixed = true},
                       CODE(OTHER_FILE), EXDEV);
}

static void test_a_socket(void **state) {
    struct helper *helper = start();
    int pair[2];
    char byte = 0;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    struct new_member member = {.fd = harness_keep(pair[0])};
    harness_keep(pair[1]);
    client_add_refused(helper->manager, (struct new_set){1, 0, &member, 1}, CODE(FILE_TYPE),
                       EINVAL);
    member.allow_socket = true;
    client_add_new(helper->manager, (struct new_set){1, 0, &member, 1});
    struct opened opened = client_open(helper->vmm, "/dev/fdset/1", O_RDWR);
    assert_int_equal(opened.code, 0);
    assert_int_equal(write(opened.fd, "x", 1), 1);
    assert_int_equal(read(pair[1], &byte, 1), 1);
    assert_int_equal(byte, 'x');
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_a_set_of_several_files),
        helper_test(test_a_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The helper in which allocation is deadly (allocation.c) notices every way of it. */
#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* How a helper ends that allocates so at the end of its lock-down. */
static int end_of(const char *how) {
    char output[1000], fd[16];
    int pair[2], status;

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    snprintf(fd, sizeof(fd), "%d", pair[1]);
    setenv("SANDBOX_ALLOCATE", how, 1);
    close(pair[0]); /* the helper has nobody to serve, and ends */
    status = helper_run((const char *[]){"--vmm-fd", fd, NULL}, (int[]){pair[1], -1}, output,
                        sizeof(output));
    unsetenv("SANDBOX_ALLOCATE");
    close(pair[1]);
    return status;
}

static void test_nothing(void **state) {
    assert_int_equal(end_of("nothing"), 0);
}

static void test_library(void **state) {
    static const char *const ways[] = {"malloc", "calloc", "realloc", "strdup", "free"};

    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
        assert_int_equal(end_of(ways[i]), 128 + SIGILL);
}

static void test_kernel(void **state) {
    assert_int_equal(end_of("brk"), 128 + SIGSYS);
    assert_int_equal(end_of("mmap"), 128 + SIGSYS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_nothing),
        helper_test(test_library),
        helper_test(test_kernel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Where a program's descriptors stand. Each test is a process of its own. */
#include "oracle.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/descriptors.h"

#define CHECK(condition)                 \
    do {                                 \
        if (!(condition))                \
            _exit(__LINE__ % 100 + 100); \
    } while (0)

static void assert_passes(void (*body)(void)) {
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        body();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static bool is_null(int fd) {
    struct stat file, null;
    return fstat(fd, &file) == 0 && stat("/dev/null", &null) == 0 && file.st_rdev == null.st_rdev &&
           S_ISCHR(file.st_mode);
}

static void fill_all(void) {
    int next = dup(0);
    close(next);
    close(0);
    close(1);
    close(2);
    standard_streams_fill();
    CHECK(is_null(0) && is_null(1) && is_null(2));
    CHECK((fcntl(1, F_GETFL) & O_ACCMODE) == O_RDWR);
    CHECK(fcntl(next, F_GETFD) < 0);
}

static void fill_none(void) {
    int ends[2];
    CHECK(pipe(ends) == 0 && dup2(ends[1], 1) == 1);
    standard_streams_fill();
    CHECK(!is_null(1));
}

static void nullify(void) {
    int ends[2];
    CHECK(pipe(ends) == 0);
    CHECK(fd_nullify(ends[0]) == 0);
    CHECK(is_null(ends[0]) && !is_null(ends[1]));
    close(ends[1]);
    CHECK(fd_nullify(ends[1]) == 0);
    CHECK(is_null(ends[1]));
    CHECK(fcntl(ends[1] + 1, F_GETFD) < 0);
}

static void move(void) {
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = 400;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    int low = open("/dev/null", O_RDONLY), high = fd_move_high(low, "a file");
    CHECK(high >= 300 && high < 400);
    CHECK(is_null(high) && fcntl(low, F_GETFD) < 0);
    CHECK(fcntl(high, F_GETFD) == FD_CLOEXEC);
    fd_inherit(high);
    CHECK(fcntl(high, F_GETFD) == 0);
}

static void test_fill(void **state) {
    assert_passes(fill_all);
    assert_passes(fill_none);
}

static void test_nullify(void **state) {
    assert_passes(nullify);
}

static void test_move(void **state) {
    assert_passes(move);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fill),
        cmocka_unit_test(test_nullify),
        cmocka_unit_test(test_move),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

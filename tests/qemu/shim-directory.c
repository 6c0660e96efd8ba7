/* SPDX-License-Identifier: MIT */
/* libfdset-preload.so, which must be preloaded into this very program: sets below a
 * directory of one's own, which FDSET_PREFIX names.
 *
 *     shim-directory          the tests
 *     shim-directory prefix   for the tests: opens set 1 below $FDSET_PREFIX
 *     shim-directory named    for the tests: opens sets by odd names below $FDSET_PREFIX */
#include "shim-scene.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* "shim-directory prefix": 0 if both $FDSET_PREFIX and /dev/fdset are the helper's. */
static int prefix(void) {
    static const char *const paths[] = {"/srv/images/1", "//srv/./images//1", "/srv/x/../images/1",
                                        DISK};

    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        int fd = open(paths[i], O_RDONLY);
        if (fd < 0 || close(fd))
            return 1;
    }
    bool is_ours = open("/srv/images/999", O_RDONLY) == -1 && errno == ENOENT &&
                   open("/srv/images/1/2", O_RDONLY) == -1 && errno == ENOENT &&
                   open("/srv/imagesx/1", O_RDONLY) == -1 && errno == ENOENT;
    return is_ours ? 0 : 2;
}

static void test_a_directory_of_ones_own(void **state) {
    uint64_t opens = totals().opens;

    assert_child_well(run_again("FDSET_PREFIX", "/srv/images", "prefix", NULL));
    assert_child_well(run_again("FDSET_PREFIX", "//srv/./images/", "prefix", NULL));
    struct fdset_totals now = totals();
    assert_int_equal(now.opens, opens + 8);
    assert_int_equal(now.opens, now.closes);
    assert_int_equal(open("/srv/images/1", O_RDONLY), -1);
    assert_int_equal(totals().opens, opens + 8);
}

static const char *const odd_names[] = {
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "550e8400-e29b-41d4-a716-446655440000",
    "9.qcow2",
    "a disk @ 5+1.qcow2",
    "-x",
    ".hidden",
    "K\xc3\xa4se.raw",
};

static void longest_name(char name[258], size_t length) {
    memset(name, 'n', length);
    name[length] = '\0';
}

static bool opens_with(const char *where, const char *name, int error) {
    char path[512];
    struct stat status;

    snprintf(path, sizeof path, "%s/%s", where, name);
    int unknown = error == EINVAL ? ENOENT : error; /* to a question: there is none */
    bool found = stat(path, &status) == 0, as_wanted = found || errno == unknown;
    int fd = open(path, O_RDWR);
    as_wanted &= (fd >= 0) == found && (fd >= 0 || errno == error) && found == !error;
    return as_wanted && (fd < 0 || close(fd) == 0);
}

/* "shim-directory named": 0 if sets are found by their names, and nothing else is. */
static int named(void) {
    const char *here = getenv("FDSET_PREFIX");
    char name[258];

    for (size_t i = 0; i < sizeof odd_names / sizeof *odd_names; i++)
        if (!opens_with(here, odd_names[i], 0) || !opens_with("/dev/fdset", odd_names[i], 0))
            return 1;
    longest_name(name, 255);
    if (!opens_with(here, name, 0) || !opens_with("//dev/fdset", name, 0))
        return 2;
    longest_name(name, 256);
    if (!opens_with(here, name, ENAMETOOLONG) || !opens_with("/dev/fdset", name, ENAMETOOLONG))
        return 3;
    /* These are files of this directory, or would be. */
    if (!opens_with(here, "disk", ENOENT) || !opens_with(here, "x/../log", ENOENT) ||
        !opens_with(here, "sub/file", ENOENT) || !opens_with(here, "disk/", ENOENT) ||
        !opens_with(here, "sub/../disk/.", ENOENT) || !opens_with(here, "a\nb", EINVAL) ||
        !opens_with(here, "007", EINVAL) || !opens_with(here, "\xff", EINVAL))
        return 4;
    /* The directory itself is one. */
    struct stat status;
    int fd = open(here, O_RDONLY | O_DIRECTORY);
    return fd >= 0 && close(fd) == 0 && stat(here, &status) == 0 && S_ISDIR(status.st_mode) ? 0 : 5;
}

static void test_names_in_a_directory_of_ones_own(void **state) {
    enum { ODD = sizeof odd_names / sizeof *odd_names };
    struct fdset_member member = {.fd = file_open("disk", O_RDWR)};
    char name[258], path[128];

    longest_name(name, 255);
    for (size_t i = 0; i <= ODD; i++) {
        struct fdset_add add = {.set = 100 + (int)i,
                                .lifetime = FDSET_KEEP,
                                .members = &member,
                                .member_count = 1,
                                .name = i < ODD ? odd_names[i] : name};
        if (fdset_add_fds(manager, &add, 1) < 0)
            fail_msg("%s", fdset_error_text());
    }
    snprintf(path, sizeof path, "%s/sub", directory);
    assert_int_equal(mkdir(path, 0700), 0);
    close(file_open("sub/file", O_RDWR));
    assert_child_well(run_again("FDSET_PREFIX", directory, "named", NULL));
    for (size_t i = 0; i <= ODD; i++)
        assert_int_equal(fdset_remove(manager, 100 + (int)i, 0), 1);
    snprintf(path, sizeof path, "%s/sub/file", directory);
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof path, "%s/sub", directory);
    assert_int_equal(rmdir(path), 0);
    close(member.fd);
}

static void test_a_directory_that_is_none(void **state) {
    static const char *const wrong[] = {"images", "/", "/./", "/srv/../images"};

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int status, null = open("/dev/null", O_WRONLY), saved = dup(STDERR_FILENO);
        dup2(null, STDERR_FILENO); /* where it says so */
        pid_t child = run_again("FDSET_PREFIX", wrong[i], "prefix", NULL);
        dup2(saved, STDERR_FILENO);
        close(saved);
        close(null);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(WEXITSTATUS(status), 1);
    }
}

#define shim_test(function) cmocka_unit_test_teardown(function, no_leases)

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        shim_test(test_a_directory_of_ones_own),
        shim_test(test_names_in_a_directory_of_ones_own),
        shim_test(test_a_directory_that_is_none),
    };

    if (argc > 1 && !strcmp(argv[1], "prefix"))
        return prefix();
    if (argc > 1 && !strcmp(argv[1], "named"))
        return named();
    return cmocka_run_group_tests(tests, group_begin, group_end);
}

/* SPDX-License-Identifier: MIT */
/* More of libfdset-preload.so, which must be preloaded into this very program: a
 * directory of one's own, the rarer functions, what outlives exec(2) and what does
 * not, and more descriptors than it keeps notes of.
 *
 *     shim-more               the tests
 *     shim-more prefix        for the tests: opens set 1 below $FDSET_PREFIX
 *     shim-more named         for the tests: opens sets by odd names below $FDSET_PREFIX
 *     shim-more opens         for the tests: opens set 1
 *     shim-more together      for the tests: opens set 3 in many threads at once
 *     shim-more executed FD   for the tests: has inherited FD, a lease */
#include "shim-scene.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *self;

/* ------------------------------------------------------- rarer functions */

int __openat_2(int directory, const char *path, int flags);
int __openat64_2(int directory, const char *path, int flags);

static void test_rarer_opens(void **state) {
    int fds[] = {
        __openat_2(AT_FDCWD, DISK, O_RDONLY),
        __openat64_2(-1, DISK, O_RDWR),
    };

    assert_leases(2);
    for (size_t i = 0; i < 2; i++) {
        assert_is_disk(fds[i]);
        assert_int_equal(close(fds[i]), 0);
    }
    int log = creat(LOG, 0600), again = creat64(LOG, 0600);
    assert_int_equal(fcntl(log, F_GETFL) & O_ACCMODE, O_WRONLY);
    assert_leases(2);
    close(log);
    close(again);
    char path[128];
    snprintf(path, sizeof path, "%s/other", directory);
    int other = creat(path, 0640);
    struct stat status;
    assert_int_equal(fstat(other, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0640);
    close(other);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(faccessat(AT_FDCWD, path, F_OK, 0), 0);
    assert_int_equal(unlinkat(AT_FDCWD, path, 0), 0);
    assert_int_equal(faccessat(AT_FDCWD, path, F_OK, 0), -1);
    assert_int_equal(remove(path), -1);
    assert_int_equal(errno, ENOENT);
}

static void test_statx(void **state) {
    struct statx status = {0};

    assert_int_equal(statx(AT_FDCWD, DISK, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &status), 0);
    assert_int_equal(status.stx_ino, disk.st_ino);
    assert_int_equal(statx(AT_FDCWD, NOTHING, 0, STATX_BASIC_STATS, &status), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(statx(AT_FDCWD, "/dev/null", 0, STATX_BASIC_STATS, &status), 0);
    assert_int_equal(status.stx_mode & S_IFMT, S_IFCHR);
}

/* The same functions under the names that older programs know them by. */
static void test_stat_of_an_older_libc(void **state) {
    static const char *const names[] = {"__xstat", "__xstat64", "__lxstat", "__lxstat64"};
#ifdef __x86_64__
    const int version = 1;
#else
    const int version = 0;
#endif
    struct stat status;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int (*old)(int, const char *, struct stat *) = dlsym(RTLD_DEFAULT, names[i]);
        memset(&status, 0, sizeof status);
        assert_int_equal(old(version, DISK, &status), 0);
        assert_int_equal(status.st_ino, disk.st_ino);
        assert_int_equal(old(version, "/dev/null", &status), 0);
        assert_true(S_ISCHR(status.st_mode));
    }
    int (*old)(int, int, const char *, struct stat *, int) = dlsym(RTLD_DEFAULT, "__fxstatat64");
    assert_int_equal(old(version, AT_FDCWD, DISK, &status, 0), 0);
    assert_int_equal(status.st_ino, disk.st_ino);
}

static void test_access_and_names_by_directory(void **state) {
    char target[16];

    assert_int_equal(faccessat(AT_FDCWD, DISK, R_OK | W_OK, 0), 0);
    assert_int_equal(faccessat(AT_FDCWD, CDROM, W_OK, AT_EACCESS), -1);
    assert_int_equal(errno, EACCES);
    assert_int_equal(readlinkat(AT_FDCWD, DISK, target, sizeof target), -1);
    assert_int_equal(errno, EINVAL);
    assert_true(readlinkat(AT_FDCWD, "/proc/self/exe", target, sizeof target) > 0);
    assert_int_equal(unlinkat(AT_FDCWD, DISK, 0), 0);
    assert_int_equal(unlinkat(AT_FDCWD, DISK, AT_REMOVEDIR), -1);
    assert_int_equal(errno, ENOTDIR);
    assert_int_equal(remove(DISK), 0);
    assert_int_equal(access(DISK, F_OK), 0);
}

/* ----------------------------------------------------------------- prefix */

/* Runs this program once more, with one variable set. */
static pid_t again(const char *name, const char *value, const char *what, const char *argument) {
    pid_t child = fork();

    if (child == 0) {
        setenv(name, value, 1);
        execl(self, self, what, argument, NULL);
        _exit(127);
    }
    return child;
}

/* "shim-more prefix": 0 if both $FDSET_PREFIX and /dev/fdset are the helper's. */
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

    assert_child_well(again("FDSET_PREFIX", "/srv/images", "prefix", NULL));
    assert_child_well(again("FDSET_PREFIX", "//srv/./images/", "prefix", NULL));
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

/* "shim-more named": 0 if sets are found by their names, and nothing else is. */
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
    assert_child_well(again("FDSET_PREFIX", directory, "named", NULL));
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
        pid_t child = again("FDSET_PREFIX", wrong[i], "prefix", NULL);
        dup2(saved, STDERR_FILENO);
        close(saved);
        close(null);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(WEXITSTATUS(status), 1);
    }
}

/* ---------------------------------------------------------------- threads */

enum { THREADS = 8 };

static void *open_at_once(void *barrier) {
    pthread_barrier_wait(barrier);
    int fd = open(CDROM, O_RDONLY);
    return fd >= 0 && close(fd) == 0 ? barrier : NULL;
}

/* "shim-more together": none of them has attached before. */
static int together(void) {
    pthread_t threads[THREADS];
    pthread_barrier_t barrier;
    int failed = 0;

    pthread_barrier_init(&barrier, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, open_at_once, &barrier))
            return 3;
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        failed += result == NULL;
    }
    return failed;
}

static void test_threads_attach_once(void **state) {
    struct fdset_totals before = totals();

    assert_child_well(again("LANG", "C", "together", NULL));
    struct fdset_totals now = totals();
    assert_int_equal(now.opens, before.opens + THREADS);
    assert_int_equal(now.closes, before.closes + THREADS);
    assert_int_equal(now.accepted, before.accepted + 1);
}

/* ------------------------------------------------------------------- exec */

/* As in a program that one has started which was given the socket by number. */
static void test_the_path_serves_where_the_socket_is_gone(void **state) {
    assert_int_equal(fcntl(900, F_GETFD), -1);
    assert_child_well(again("FDSET_VMM_FD", "900", "opens", NULL));
}

/* "shim-more executed FD": what was a lease before is just a descriptor now. */
static int executed(const char *number) {
    int fd = atoi(number);
    char byte;

    if (pread(fd, &byte, 1, 0) != 1 || close(fd))
        return 1;
    int again = open(DISK, O_RDWR); /* exclusive: so the other has ended */
    return again >= 0 && close(again) == 0 ? 0 : 2;
}

static void test_exec_ends_a_lease(void **state) {
    struct fdset_totals before = totals();
    pid_t child = fork();

    if (child == 0) {
        int fd = open(DISK, O_RDWR);
        char number[16];
        snprintf(number, sizeof number, "%d", fd);
        execl(self, self, "executed", number, NULL);
        _exit(127);
    }
    assert_child_well(child);
    struct fdset_totals now = totals();
    assert_int_equal(now.opens, before.opens + 2);
    assert_int_equal(now.closes, before.closes + 1);
    assert_int_equal(now.hangups, before.hangups + 1);
}

/* --------------------------------------------------------------- how many */

/* More than MAX_HOLDINGS of open_leases.c, with descriptors above its MAX_MARKS. */
static void test_many_descriptors(void **state) {
    enum { MANY = 300, HIGH = 70000 };
    static int fds[MANY], copies[MANY];
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int from = limit.rlim_cur > HIGH + MANY ? HIGH : (int)limit.rlim_cur - MANY;
    for (int i = 0; i < MANY; i++) {
        fds[i] = open(CDROM, O_RDONLY);
        copies[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, from);
        assert_true(fds[i] >= 0);
        assert_true(copies[i] >= from);
    }
    assert_leases(MANY);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(close(fds[i]), 0);
    assert_leases(MANY);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(close(copies[i]), 0);
    assert_leases(0);
}

/* Closed where nobody sees it, the number is given out again. */
static void test_closed_behind_its_back(void **state) {
    int fd = open(CDROM, O_RDONLY);

    assert_leases(1);
    assert_int_equal(syscall(SYS_close, fd), 0);
    int null = open("/dev/null", O_RDONLY);
    assert_int_equal(null, fd);
    assert_int_equal(close(null), 0);
    assert_leases(0);

    fd = open(CDROM, O_RDONLY);
    assert_int_equal(syscall(SYS_close, fd), 0);
    int second = open(DISK, O_RDONLY);
    assert_int_equal(second, fd);
    assert_leases(1);
    assert_int_equal(close(second), 0);
    assert_leases(0);
}

#define shim_test(function) cmocka_unit_test_teardown(function, no_leases)

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        shim_test(test_rarer_opens),
        shim_test(test_statx),
        shim_test(test_stat_of_an_older_libc),
        shim_test(test_access_and_names_by_directory),
        shim_test(test_a_directory_of_ones_own),
        shim_test(test_names_in_a_directory_of_ones_own),
        shim_test(test_a_directory_that_is_none),
        shim_test(test_the_path_serves_where_the_socket_is_gone),
        shim_test(test_threads_attach_once),
        shim_test(test_exec_ends_a_lease),
        shim_test(test_many_descriptors),
        shim_test(test_closed_behind_its_back),
    };

    self = argv[0];
    if (argc > 1 && !strcmp(argv[1], "prefix"))
        return prefix();
    if (argc > 1 && !strcmp(argv[1], "named"))
        return named();
    if (argc > 1 && !strcmp(argv[1], "together"))
        return together();
    if (argc > 1 && !strcmp(argv[1], "opens"))
        return close(open(DISK, O_RDONLY)) == 0 ? 0 : 1;
    if (argc > 2 && !strcmp(argv[1], "executed"))
        return executed(argv[2]);
    return cmocka_run_group_tests(tests, group_begin, group_end);
}

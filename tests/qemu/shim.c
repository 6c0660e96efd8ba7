/* SPDX-License-Identifier: MIT */
/* libfdset-preload.so, which must be preloaded into this very program: what the
 * plain functions of libc do with /dev/fdset/N, and what the helper then knows. */
#include "shim-scene.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ------------------------------------------------------------------ paths */

static void test_spellings(void **state) {
    static const char *const good[] = {
        "/dev/fdset/1",        "//dev/fdset/1",     "/dev//fdset/1",
        "/dev/./fdset/././/1", "/./dev/fdset/1",    "/dev/fdset//1",
        "/dev/../dev/fdset/1", "/dev/fdset/2/../1", "//dev/x/..//./fdset/y/z/../../1",
        "/../dev/fdset/./1"};
    static const char *const bad[] = {
        "/dev/fdset",          "/dev/fdset/",          "dev/fdset/1",
        "/dev/fdset/1/",       "/dev/fdsets/1",        "/dev/fdset/..",
        "/dev/fdset/1/..",     "/dev/fdset/1/../",     "/dev/fdset/../1",
        "/dev/fdset/x/../1/.", "/dev/...fdset/1/../1", "/dev/../dev/fdset/1/",
        "/dev/fdset/1/2",      "/xdev/fdset/1",        ""};

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int fd = open(good[i], O_RDONLY);
        assert_is_disk(fd);
        close(fd);
    }
    uint64_t denied = totals().denied;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(open(bad[i], O_RDONLY), -1);
        assert_int_equal(errno, ENOENT);
    }
    assert_int_equal(totals().denied, denied + 1);         /* by totals() itself */
    assert_int_equal(open("/dev/fdset/1x", O_RDONLY), -1); /* a name */
    assert_int_equal(errno, ENOENT);
    assert_int_equal(open("/dev/fdset/01", O_RDONLY), -1);
    assert_int_equal(errno, EINVAL);
}

static void test_other_files_go_through(void **state) {
    char path[128], text[8] = "";

    snprintf(path, sizeof path, "%s/other", directory);
    uint64_t opens = totals().opens;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0640);
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0640);
    FILE *stream = fopen(path, "w");
    fputs("hello", stream);
    assert_int_equal(fclose(stream), 0);
    assert_int_equal(read(fd, text, sizeof text), 5);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, 5);
    assert_int_equal(access(path, R_OK), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(stat(path, &status), -1);
    assert_int_equal(close(fd), 0);
    assert_int_equal(close(fd), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(totals().opens, opens);
}

/* ------------------------------------------------------------------- open */

int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);

static void test_every_open(void **state) {
    int fds[] = {
        open(DISK, O_RDONLY),
        open64(DISK, O_RDWR | O_CREAT, 0600),
        openat(AT_FDCWD, DISK, O_RDONLY),
        openat64(-1, DISK, O_RDWR),
        __open_2(DISK, O_RDONLY),
        __open64_2(DISK, O_RDONLY),
    };
    const size_t count = sizeof fds / sizeof *fds;

    assert_leases(count);
    for (size_t i = 0; i < count; i++) {
        assert_is_disk(fds[i]);
        assert_int_equal(close(fds[i]), 0);
        assert_leases(count - i - 1);
    }
}

static void test_open_says_why_not(void **state) {
    assert_int_equal(open(LOG, O_RDONLY), -1);
    assert_int_equal(errno, EACCES);
    assert_int_equal(open(DISK, O_RDONLY | O_DIRECTORY), -1);
    assert_int_equal(errno, ENOTDIR);
    assert_null(fopen(CDROM, "r+"));
    assert_int_equal(errno, EACCES);
    assert_null(fopen(CDROM, "?"));
    assert_int_equal(errno, EINVAL);
}

static void *open_what_is_missing(void *data) {
    *(int *)data = open("/dev/fdset/77", O_RDWR | O_CLOEXEC);
    return NULL;
}

/* An hour: what waits and should not is seen. */
static void test_open_waits_where_it_is_told_to(void **state) {
    struct fdset_manager *watcher;
    struct fdset_event event;
    pthread_t thread;
    int fd;

    assert_int_equal(fdset_manager_connect(&watcher, manage_path, NULL), 0);
    assert_int_equal(fdset_subscribe(watcher, FDSET_EVENT_BIT(FDSET_EVENT_WANTED)), 0);
    setenv("FDSET_WAIT_MS", "3600000", 1);
    assert_int_equal(pthread_create(&thread, NULL, open_what_is_missing, &fd), 0);
    assert_int_equal(fdset_next_event(watcher, &event, -1), 1);
    assert_string_equal(event.path, "/dev/fdset/77");
    assert_int_equal(event.wait_ms, 3600000);
    assert_int_equal(access(NOTHING, R_OK), -1);
    struct fdset_member member = {.fd = file_open("disk", O_RDWR)};
    struct fdset_add add = {
        .set = 77, .lifetime = FDSET_KEEP, .members = &member, .member_count = 1};
    assert_int_equal(fdset_add_fds(manager, &add, 1), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_is_disk(fd);

    setenv("FDSET_WAIT_MS", "soon", 1);
    assert_int_equal(open(NOTHING, O_RDONLY), -1);
    assert_int_equal(errno, ENOENT);
    unsetenv("FDSET_WAIT_MS");
    assert_int_equal(fdset_remove(manager, 77, 0), 1);
    assert_int_equal(close(fd), 0);
    close(member.fd);
    fdset_manager_free(watcher);
}

static void test_close_on_exec_as_asked(void **state) {
    int plain = open(DISK, O_RDONLY), closing = open(DISK, O_RDONLY | O_CLOEXEC);

    assert_int_equal(fcntl(plain, F_GETFD), 0);
    assert_int_equal(fcntl(closing, F_GETFD), FD_CLOEXEC);
    close(plain);
    close(closing);
}

static void test_streams(void **state) {
    char text[16] = "";
    FILE *log = fopen(LOG, "w");

    assert_non_null(log);
    fputs("one\n", log);
    assert_leases(1);
    assert_int_equal(fclose(log), 0);
    assert_leases(0);

    log = fopen64(LOG, "ae");
    assert_int_equal(fcntl(fileno(log), F_GETFD), FD_CLOEXEC);
    fputs("two\n", log);
    assert_int_equal(fclose(log), 0);

    int fd = file_open("log", O_RDONLY);
    assert_int_equal(read(fd, text, sizeof text), 8);
    assert_string_equal(text, "one\ntwo\n");
    close(fd);
    assert_leases(0);
}

static void test_every_open_starts_at_the_beginning(void **state) {
    int first = open(DISK, O_RDONLY);
    assert_int_equal(lseek(first, 0, SEEK_END), 8192);
    close(first);

    first = open(DISK, O_RDONLY);
    assert_int_equal(lseek(first, 0, SEEK_CUR), 0);
    /* But not where it would move what somebody else is reading. */
    assert_int_equal(lseek(first, 100, SEEK_SET), 100);
    int second = open(DISK, O_RDONLY);
    assert_int_equal(lseek(first, 0, SEEK_CUR), 100);
    close(first);
    close(second);
}

/* ------------------------------------------------------------------ close */

static int copy_by_dup2(int fd) {
    return dup2(fd, 300);
}
static int copy_by_dup3(int fd) {
    return dup3(fd, 300, O_CLOEXEC);
}
static int copy_by_fcntl(int fd) {
    return fcntl(fd, F_DUPFD, 300);
}
static int copy_by_fcntl_closing(int fd) {
    return fcntl64(fd, F_DUPFD_CLOEXEC, 300);
}

static void test_a_lease_ends_with_its_last_copy(void **state) {
    int (*const copy[])(int) = {dup, copy_by_dup2, copy_by_dup3, copy_by_fcntl,
                                copy_by_fcntl_closing};

    for (size_t i = 0; i < sizeof copy / sizeof *copy; i++) {
        int fd = open(DISK, O_RDWR), first = copy[i](fd), second = dup(first);
        assert_int_equal(close(fd), 0);
        assert_int_equal(close(second), 0);
        assert_leases(1);
        assert_is_disk(first);
        assert_int_equal(close(first), 0);
        assert_leases(0);
    }
}

static void test_dup_over_a_lease_ends_it(void **state) {
    int disk_fd = open(DISK, O_RDWR), cdrom = open(CDROM, O_RDONLY);
    int null = open("/dev/null", O_RDONLY);

    assert_int_equal(dup2(disk_fd, disk_fd), disk_fd);
    assert_int_equal(dup2(-1, disk_fd), -1);
    assert_int_equal(dup3(null, disk_fd, 0x1234), -1);
    assert_int_equal(dup3(disk_fd, disk_fd, 0), -1);
    assert_leases(2);
    assert_int_equal(dup2(disk_fd, cdrom), cdrom); /* one lease with two copies */
    assert_leases(1);
    assert_int_equal(dup2(null, disk_fd), disk_fd);
    assert_leases(1);
    assert_int_equal(dup3(null, cdrom, 0), cdrom);
    assert_leases(0);
    close(disk_fd);
    close(cdrom);
    close(null);
}

static void test_close_range_spares_the_socket(void **state) {
    int low = open(CDROM, O_RDONLY), socket = socket_find(), high = fcntl(low, F_DUPFD, 500);
    int other = open(DISK, O_RDWR);

    assert_int_equal(dup2(other, 501), 501);
    close(other);
    assert_leases(2);
    assert_int_equal(close_range(501, 400, 0), -1);
    assert_int_equal(close_range(501, 501, CLOSE_RANGE_CLOEXEC), 0);
    assert_leases(2);
    assert_int_equal(close_range(501, 501, 0), 0);
    assert_leases(1);
    assert_int_equal(close_range(high, UINT_MAX, 0), 0);
    assert_int_equal(close_range(low, low, 0), 0);
    assert_leases(0);
    assert_int_equal(close_range(socket, socket, 0), 0);
    assert_int_equal(socket_find(), socket);
    closefrom(600);
    assert_leases(0);
}

static void test_the_socket_stays(void **state) {
    int socket = socket_find(), null = open("/dev/null", O_RDONLY);

    assert_int_equal(close(socket), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(fcntl(socket, F_GETFD), FD_CLOEXEC);
    close(null);
    assert_leases(0);
}

/* ------------------------------------------------------------------ paths */

static void test_stat_is_the_members(void **state) {
    struct stat status = {0};
    struct stat64 status64 = {0};

    assert_int_equal(stat(DISK, &status), 0);
    assert_int_equal(status.st_ino, disk.st_ino);
    assert_int_equal(lstat(DISK, &status), 0);
    assert_int_equal(stat64(DISK, &status64), 0);
    assert_int_equal(status64.st_ino, disk.st_ino);
    assert_int_equal(lstat64(DISK, &status64), 0);
    assert_int_equal(fstatat(AT_FDCWD, LOG, &status, 0), 0); /* write-only */
    assert_int_not_equal(status.st_ino, disk.st_ino);
    assert_int_equal(fstatat64(AT_FDCWD, DISK, &status64, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(stat(NOTHING, &status), -1);
    assert_int_equal(errno, ENOENT);
}

static void test_stat_leaves_an_open_disk_alone(void **state) {
    struct stat status;
    int fd = open(DISK, O_RDONLY | O_APPEND), copy = dup(fd);
    int flags = fcntl(fd, F_GETFL);
    uint64_t opens = totals().opens;

    assert_int_equal(stat(DISK, &status), 0);
    close(fd);
    assert_int_equal(stat(DISK, &status), 0);
    assert_int_equal(access(DISK, R_OK), 0);
    assert_int_equal(totals().opens, opens);
    assert_int_equal(fcntl(copy, F_GETFL), flags);
    assert_true(flags & O_APPEND);
    assert_int_equal(access(DISK, R_OK | W_OK), 0); /* by the other member */
    assert_int_equal(totals().opens, opens);
    close(copy);
}

static void test_access_is_what_members_can(void **state) {
    assert_int_equal(access(DISK, F_OK), 0);
    assert_int_equal(access(DISK, R_OK | W_OK), 0);
    assert_int_equal(access(CDROM, R_OK), 0);
    assert_int_equal(access(CDROM, W_OK), -1);
    assert_int_equal(errno, EACCES);
    assert_int_equal(access(LOG, W_OK), 0);
    assert_int_equal(access(LOG, R_OK), -1);
    assert_int_equal(access(DISK, X_OK), -1);
    assert_int_equal(access(NOTHING, F_OK), -1);
    assert_int_equal(errno, ENOENT);
}

static void test_names(void **state) {
    char buffer[PATH_MAX];
    char *path = realpath("/dev/./fdset/1", NULL);

    assert_string_equal(path, "//dev/fdset/1"); /* which QEMU does not take for its own */
    free(path);
    assert_ptr_equal(realpath(DISK, buffer), buffer);
    assert_null(realpath(NOTHING, buffer));
    assert_int_equal(readlink(DISK, buffer, sizeof buffer), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(unlink(DISK), 0);
    assert_int_equal(access(DISK, F_OK), 0);
}

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

/* --------------------------------------------------------------- how many */

/* More than MAX_OPEN_LEASES of open_leases.c, with descriptors above its MAX_MARKS. */
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

int main(void) {
    const struct CMUnitTest tests[] = {
        shim_test(test_spellings),
        shim_test(test_other_files_go_through),
        shim_test(test_every_open),
        shim_test(test_open_says_why_not),
        shim_test(test_open_waits_where_it_is_told_to),
        shim_test(test_close_on_exec_as_asked),
        shim_test(test_streams),
        shim_test(test_every_open_starts_at_the_beginning),
        shim_test(test_a_lease_ends_with_its_last_copy),
        shim_test(test_dup_over_a_lease_ends_it),
        shim_test(test_close_range_spares_the_socket),
        shim_test(test_the_socket_stays),
        shim_test(test_stat_is_the_members),
        shim_test(test_stat_leaves_an_open_disk_alone),
        shim_test(test_access_is_what_members_can),
        shim_test(test_names),
        shim_test(test_rarer_opens),
        shim_test(test_statx),
        shim_test(test_stat_of_an_older_libc),
        shim_test(test_access_and_names_by_directory),
        shim_test(test_many_descriptors),
        shim_test(test_closed_behind_its_back),
    };
    return cmocka_run_group_tests(tests, group_begin, group_end);
}

/* SPDX-License-Identifier: MIT */
/* Starts under limits and filters of somebody else's: the helper starts where it can, and
 * says truly why where it cannot, with a cure that works. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cage.h"

#define LANDLOCK_CREATE_RULESET 444

static int confine(struct cage *cage) {
    int result = confine_enter(&cage->plan, &cage->report);
    return result < 0 ? result : confine_seal(&cage->plan, &cage->report);
}

static bool detail_has(const struct cage *cage, const char *stage, const char *text) {
    for (size_t i = 0; i < cage->report.count; i++)
        if (!strcmp(cage->report.stages[i].name, stage))
            return strstr(cage->report.stages[i].detail, text);
    return false;
}

/* What this stage said, which ended the start. */
static bool ended_by(struct cage *cage, const char *stage, const char *text) {
    return confine(cage) < 0 && cage_outcome(cage, stage) == CONFINE_FAILED &&
           !strcmp(cage->report.stages[cage->report.count - 1].name, stage) &&
           detail_has(cage, stage, text);
}

/* ---------------------------------------------------------------- the log's size */

/* The log is a file of 1000 bytes, and the starter allows it `most`. */
static int log_of(struct cage *cage, rlim_t most) {
    char path[] = "/tmp/sandbox-XXXXXX", text[1000] = "line";
    struct rlimit limit = {most, most};
    int file = mkstemp(path);

    unlink(path);
    CAGE_CHECK(write(file, text, sizeof(text)) == sizeof(text));
    CAGE_CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    dup2(file, STDERR_FILENO);
    return confine(cage);
}

static int file_size_limit(struct cage *cage) {
    if (log_of(cage, 1100) != 0 || !detail_has(cage, "limits", "the log may grow by 100 bytes"))
        return 1;
    if (write(STDERR_FILENO, "", 1) != 1)
        return 2;
    return 0;
}

static int file_size_limit_reached(struct cage *cage) {
    if (log_of(cage, 500) != 0 || !detail_has(cage, "limits", "the log may grow by 0 bytes"))
        return 1;
    return write(STDERR_FILENO, "", 1) == -1 && errno == EFBIG ? 0 : 2;
}

/* --------------------------------------------------------------- user namespaces */

/* Root of one with the first `count` ids, which another process has to map. */
static int small_user_namespace(struct cage *cage, int count) {
    pid_t inside = getpid();
    int ready[2], status;
    char path[40], line[40], byte;

    CAGE_CHECK(pipe(ready) == 0);
    pid_t writer = fork();
    if (writer == 0) {
        bool right = read(ready[0], &byte, 1) == 1;
        int length = snprintf(line, sizeof(line), "0 100000 %d", count);
        for (int i = 0; i < 2; i++) {
            snprintf(path, sizeof(path), "/proc/%d/%s", inside, i ? "uid_map" : "gid_map");
            int map = open(path, O_WRONLY);
            right &= write(map, line, (size_t)length) == length;
        }
        cage_exit(right ? 0 : 1);
    }
    CAGE_CHECK(unshare(CLONE_NEWUSER) == 0);
    CAGE_CHECK(write(ready[1], "", 1) == 1);
    CAGE_CHECK(waitpid(writer, &status, 0) == writer && status == 0);
    CAGE_CHECK(setresgid(0, 0, 0) == 0 && setresuid(0, 0, 0) == 0);
    CAGE_CHECK(prctl(PR_SET_DUMPABLE, 1) == 0); /* as after an exec there */
    return 0;
}

static int no_such_user(struct cage *cage) {
    if (small_user_namespace(cage, 1000) != 0)
        return 1;
    CAGE_CHECK(ended_by(cage, "ids", "setresgid: EINVAL; this user namespace has no such id"));
    CAGE_CHECK(detail_has(cage, "ids", "--user"));
    return 0;
}

/* As it says. */
static int such_a_user(struct cage *cage) {
    if (small_user_namespace(cage, 1000) != 0)
        return 1;
    cage->plan.uid = cage->plan.gid = 999;
    CAGE_CHECK(confine(cage) == 0);
    CAGE_CHECK(cage_all_done(cage));
    return 0;
}

static int nobody_without_landlock(struct cage *cage) {
    cage_refuse(LANDLOCK_CREATE_RULESET, ENOSYS);
    CAGE_CHECK(ended_by(cage, "namespaces", "uid 65534: EPERM; in a user namespace others"));
    CAGE_CHECK(detail_has(cage, "namespaces", "start as another user, or put landlock into"));
    return 0;
}

/* -------------------------------------------------------------------- processes */

static int no_process(struct cage *cage) {
    struct rlimit limit = {1, 1};

    CAGE_CHECK(setrlimit(RLIMIT_NPROC, &limit) == 0);
    CAGE_CHECK(ended_by(cage, "namespaces", "fork: EAGAIN; raise the limits of processes"));
    return 0;
}

/* The real helper, as a child of this process; it must end. Returns whether it said so. */
static int helper_says(struct cage *cage, const char *text) {
    char said[4096], user[16];
    int log[2], status;
    size_t used = 0;
    ssize_t length;

    snprintf(user, sizeof(user), "%d", 1000000 + getpid());
    CAGE_CHECK(pipe2(log, O_CLOEXEC) == 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(log[1], STDERR_FILENO);
        execl(getenv("FDSET_TEST_HELPER"), "fdset-helper", "--manage", "/tmp/sandbox-starts.sock",
              "--user", user, NULL);
        cage_exit(127);
    }
    close(log[1]);
    while ((length = read(log[0], said + used, sizeof(said) - 1 - used)) > 0)
        used += (size_t)length;
    said[used] = '\0';
    unlink("/tmp/sandbox-starts.sock");
    CAGE_CHECK(waitpid(child, &status, 0) == child && status == 1 << 8);
    fputs(said, stderr);
    CAGE_CHECK(strstr(said, text));
    return 0;
}

/* Root may fork, and the user that it becomes may not have threads. */
static int no_thread(struct cage *cage) {
    struct rlimit limit = {1, 1};

    CAGE_CHECK(setrlimit(RLIMIT_NPROC, &limit) == 0);
    return helper_says(cage, "cannot start the settle threads: Resource temporarily unavailable; "
                             "raise the limits of processes (ulimit -u)");
}

static int no_clone3(struct cage *cage) {
    cage_refuse(SYS_clone3, EPERM);
    return helper_says(cage, "cannot start the settle threads: Operation not permitted; the "
                             "container's filter must allow clone3, or refuse it with ENOSYS");
}

/* ------------------------------------------------------------------ descriptors */

static int close_range_refused(struct cage *cage) {
    int low = fcntl(STDERR_FILENO, F_DUPFD, 9), high = fcntl(STDERR_FILENO, F_DUPFD, 200);

    cage_refuse(SYS_close_range, EPERM);
    CAGE_CHECK(confine_enter(&cage->plan, &cage->report) == 0);
    CAGE_CHECK(cage_all_done(cage));
    CAGE_CHECK(fcntl(low, F_GETFD) < 0 && fcntl(high, F_GETFD) < 0);
    CAGE_CHECK(fcntl(cage->keep[0], F_GETFD) >= 0);
    return 0;
}

static int nothing_tells_what_is_open(struct cage *cage) {
    CAGE_CHECK(unshare(CLONE_NEWNS) == 0);
    CAGE_CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    CAGE_CHECK(mount("none", "/proc", "tmpfs", MS_RDONLY, NULL) == 0);
    cage_refuse(SYS_close_range, EPERM);
    CAGE_CHECK(ended_by(cage, "descriptors",
                        "close_range: EPERM; allow it, or give the helper a "
                        "/proc"));
    return 0;
}

/* ------------------------------------------------------------------------- tests */

#define TEST(starter, body)                 \
    static void test_##body(void **state) { \
        cage_test(starter, body);           \
    }

TEST(AS_USER, file_size_limit)
TEST(AS_USER, file_size_limit_reached)
TEST(AS_ROOT, no_such_user)
TEST(AS_ROOT, such_a_user)
TEST(AS_NOBODY, nobody_without_landlock)
TEST(AS_USER, no_process)
TEST(AS_ROOT, no_thread)
TEST(AS_ROOT, no_clone3)
TEST(AS_USER, close_range_refused)
TEST(AS_ROOT, nothing_tells_what_is_open)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_size_limit),
        cmocka_unit_test(test_file_size_limit_reached),
        cmocka_unit_test(test_no_such_user),
        cmocka_unit_test(test_such_a_user),
        cmocka_unit_test(test_nobody_without_landlock),
        cmocka_unit_test(test_no_process),
        cmocka_unit_test(test_no_thread),
        cmocka_unit_test(test_no_clone3),
        cmocka_unit_test(test_close_range_refused),
        cmocka_unit_test(test_nothing_tells_what_is_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

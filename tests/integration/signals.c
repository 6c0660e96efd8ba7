/* SPDX-License-Identifier: MIT */
/* Signals end the helper as an end of work does, also where the kernel would not have
 * them end it: as process 1 of a pid namespace. */
#include "harness.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define HANG_MS 10000

static const int deadly[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT};

#define DEADLY (sizeof(deadly) / sizeof(deadly[0]))

/* In a child that is process 1. */
static void become_helper(const char *path, int log) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(log, STDERR_FILENO);
    execl(getenv("FDSET_TEST_HELPER"), "fdset-helper", "--manage", path, NULL);
    _exit(127);
}

/* Starts one and returns its log; skips the test where that is not allowed. */
static int start_as_first(pid_t *pid, const char *path) {
    int log[2];

    assert_int_equal(pipe2(log, O_CLOEXEC), 0);
    *pid = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
    if (*pid == 0)
        become_helper(path, log[1]);
    close(log[1]);
    if (*pid > 0)
        return log[0];
    close(log[0]);
    skip();
    return -1;
}

static int status_of(pid_t pid) {
    int status, process = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd ended = {.fd = process, .events = POLLIN};
    bool hangs = poll(&ended, 1, HANG_MS) == 0;

    kill(pid, SIGKILL);
    close(process);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (hangs)
        fail_msg("the helper did not end");
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void test_first_process_of_a_namespace(void **state) {
    char ready[1200];
    pid_t pid;

    for (size_t i = 0; i < DEADLY; i++) {
        int log = start_as_first(&pid, file_path("manage"));
        assert_true(read(log, ready, sizeof(ready)) > 0);
        kill(pid, deadly[i]);
        close(log);
        assert_int_equal(status_of(pid), 0);
    }
}

/* It waits for the lock of the directory then. */
static void test_signal_during_the_start(void **state) {
    int directory = harness_keep(open(file_path(""), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    char said[200] = "";
    pid_t pid;

    assert_int_equal(flock(directory, LOCK_EX), 0);
    int log = start_as_first(&pid, file_path("manage"));
    /* Until then it has no such signal blocked, and loses them. What starts it under a tracer
     * blocks all for a moment. */
    const unsigned long long term = 1 << (SIGTERM - 1), all = term | 1 << (SIGUSR1 - 1);
    char path[40], line[100];
    for (unsigned long long blocked = 0; (blocked & all) != term;) {
        snprintf(path, sizeof(path), "/proc/%d/status", pid);
        FILE *status = fopen(path, "re");
        assert_non_null(status);
        while (fgets(line, sizeof(line), status))
            sscanf(line, "SigBlk: %llx", &blocked);
        fclose(status);
    }
    kill(pid, SIGTERM);
    assert_true(read(log, said, sizeof(said) - 1) > 0);
    close(log);
    assert_int_equal(status_of(pid), 1);
    assert_non_null(strstr(said, "a signal ended the start"));
}

/* Nobody's locks go with the helper: a VMM works on with what it has open. */
static void test_leases_outlive_the_helper(void **state) {
    struct helper *helper = helper_start(NULL);
    struct flock lock = {.l_type = F_WRLCK, .l_len = 10};
    int disk = file_open("disk", O_RDWR), other = file_open("disk", O_RDWR);

    client_add_one(helper->manager, 1, disk);
    int fd = client_open_set(helper->vmm, 1, O_RDWR).fd;
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
    kill(helper->pid, SIGTERM);
    assert_int_equal(helper_wait(helper), 0);
    assert_hung_up(helper->vmm);
    assert_hung_up(helper->manager);
    assert_int_equal(fcntl(other, F_OFD_SETLK, &lock), -1);
    assert_int_equal(errno, EAGAIN);
}

/* Returns its log, when it is ready. */
static int start_standalone(pid_t *pid) {
    char said[1200];
    int log[2];

    assert_int_equal(pipe2(log, O_CLOEXEC), 0);
    *pid = fork();
    if (*pid == 0)
        become_helper(file_path("manage"), log[1]);
    close(log[1]);
    assert_true(read(log[0], said, sizeof(said)) > 0);
    return log[0];
}

static void test_keyboard_ends_a_standalone_helper(void **state) {
    pid_t pid;

    for (size_t i = 0; i < DEADLY; i++) {
        int log = start_standalone(&pid);
        kill(pid, deadly[i]);
        close(log);
        assert_int_equal(status_of(pid), 0);
    }
}

static void expect_served(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    strcpy(address.sun_path, file_path("manage"));
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    struct client *client = client_new(fd);
    assert_int_equal(client_hello(client, "asks")->body_case, REPLY(HELLO));
    client_barrier(client);
    client_free(client);
}

/* As by nohup, or in the background of a shell without job control. */
static void test_ignored_signals_stay_ignored(void **state) {
    pid_t pid;

    for (size_t i = 0; i < DEADLY; i++)
        signal(deadly[i], SIG_IGN);
    int log = start_standalone(&pid);
    for (size_t i = 0; i < DEADLY; i++) {
        signal(deadly[i], SIG_DFL);
        kill(pid, deadly[i]);
        expect_served();
    }
    close(log);
    kill(pid, SIGKILL);
    assert_int_equal(status_of(pid), 128 + SIGKILL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_first_process_of_a_namespace),
        helper_test(test_signal_during_the_start),
        helper_test(test_leases_outlive_the_helper),
        helper_test(test_ignored_signals_stay_ignored),
        helper_test(test_keyboard_ends_a_standalone_helper),
    };

    /* Where the tests run in the background, some are ignored. */
    for (size_t i = 0; i < DEADLY; i++)
        signal(deadly[i], SIG_DFL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

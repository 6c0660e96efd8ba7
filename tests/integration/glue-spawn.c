/* SPDX-License-Identifier: MIT */
/* libfdset starts the real helper: what it hands over, how it ends, and what it
 * says where that fails. */
#include "harness.h"

#include <errno.h>
#include <fdset/manager.h>
#include <fdset/vmm.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static struct fdset_vmm *vmm;

static int works(int result) {
    if (result < 0)
        fail_msg("%s", fdset_error_text());
    return result;
}

static void spawn(struct fdset_spawn_options options) {
    options.helper = getenv("FDSET_TEST_HELPER");
    works(fdset_vmm_spawn(&vmm, &options));
    assert_true(fdset_vmm_helper_pid(vmm) > 0);
}

/* Hangs up; also where the test failed half-way. */
static void hang_up(void) {
    fdset_vmm_free(vmm);
    vmm = NULL;
}

static int end(void **state) {
    hang_up();
    return harness_end(state);
}

#define glue_test(function) cmocka_unit_test_setup_teardown(function, harness_begin, end)

static bool is_running(pid_t pid) {
    return kill(pid, 0) == 0;
}

/* ---------------------------------------------------------- beginning and end */

static void test_spawn_and_end(void **state) {
    spawn((struct fdset_spawn_options){0});
    pid_t pid = fdset_vmm_helper_pid(vmm);
    assert_true(is_running(pid));
    assert_int_equal(fdset_open(vmm, "/dev/fdset/1", O_RDWR), -ENOENT);
    hang_up();
    assert_false(is_running(pid)); /* ended, and waited for */
}

static void test_helper_from_the_environment(void **state) {
    assert_int_equal(setenv("FDSET_HELPER", getenv("FDSET_TEST_HELPER"), 1), 0);
    works(fdset_vmm_spawn(&vmm, NULL));
    hang_up();
    assert_int_equal(unsetenv("FDSET_HELPER"), 0);
}

/* A VMM may wait for all its children, whoever started them. */
static void test_helper_is_reaped_by_the_vmm(void **state) {
    int status;
    spawn((struct fdset_spawn_options){0});
    pid_t pid = fdset_vmm_helper_pid(vmm);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(-1, &status, 0), pid);
    assert_int_equal(fdset_open(vmm, "/dev/fdset/1", O_RDWR), -ECONNRESET);
    hang_up();
}

static void test_child_leaves_its_parents_helper_alone(void **state) {
    int status, file = file_open("disk", O_RDWR);
    struct fdset_initial initial = {.fd = file, .set = 1};
    spawn((struct fdset_spawn_options){.initial = &initial, .initial_count = 1});
    pid_t child = fork();
    if (child == 0) {
        hang_up(); /* does not wait: the helper goes on */
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    works(fdset_close(vmm, works(fdset_open(vmm, "/dev/fdset/1", O_RDWR))));
    hang_up();
}

static void test_helper_that_lingers_is_not_waited_for(void **state) {
    static const char *const arguments[] = {"--linger", NULL};
    struct fdset_manager *manager;
    spawn((struct fdset_spawn_options){.manage_path = file_path("manage.sock"),
                                       .arguments = arguments});
    pid_t pid = fdset_vmm_helper_pid(vmm);
    hang_up();
    works(fdset_manager_connect(&manager, file_path("manage.sock"), NULL));
    fdset_manager_free(manager);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* ------------------------------------------------------------- what it inherits */

#define FILES 100

/* Each descriptor must arrive as itself, wherever it stood here: the numbers
 * overlap with those that it gets in the helper. */
static void test_initial_descriptors(void **state) {
    static struct fdset_initial initial[FILES + 1];
    int files[FILES + 1];
    char name[32];
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof(name), "file%d", i);
        files[i] = file_open(name, O_RDWR);
        initial[FILES - 1 - i] = (struct fdset_initial){.fd = files[i], .set = i};
    }
    files[FILES] = file_open("file7", O_RDWR);
    initial[FILES] = (struct fdset_initial){.fd = files[FILES], .set = 2147483647};
    spawn((struct fdset_spawn_options){.initial = initial, .initial_count = FILES + 1});
    for (int i = 0; i <= FILES; i++) {
        snprintf(name, sizeof(name), "/dev/fdset/%d", i < FILES ? i : 2147483647);
        int fd = works(fdset_open(vmm, name, O_RDWR | O_CLOEXEC));
        assert_serves(fd, files[i], O_RDWR);
        works(fdset_close(vmm, fd));
    }
    hang_up();
}

static bool is_file(int fd, int file) {
    struct stat one, other;
    return fstat(fd, &one) == 0 && fstat(file, &other) == 0 && one.st_ino == other.st_ino;
}

/* As a daemon may: then what is to be passed on gets numbers below 3. */
static void test_vmm_without_standard_streams(void **state) {
    struct fdset_initial initial[3];
    struct fdset_spawn_options options = {
        .helper = getenv("FDSET_TEST_HELPER"), .initial = initial, .initial_count = 3};
    int status;
    for (int i = 0; i < 3; i++)
        initial[i] =
            (struct fdset_initial){.fd = file_open((char[]){'a' + i, 0}, O_RDWR), .set = i};
    pid_t child = fork();
    if (child == 0) {
        close(STDIN_FILENO);
        close(STDOUT_FILENO);
        close(STDERR_FILENO);
        bool right = fdset_vmm_spawn(&vmm, &options) == 0 &&
                     is_file(fdset_open(vmm, "/dev/fdset/0", O_RDWR), initial[0].fd) &&
                     is_file(fdset_open(vmm, "/dev/fdset/1", O_RDWR), initial[1].fd) &&
                     is_file(fdset_open(vmm, "/dev/fdset/2", O_RDWR), initial[2].fd);
        if (right)
            hang_up();
        _exit(!right);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_labels(void **state) {
    static char longest[256];
    const char *labels[] = {NULL,   "", ",", "a,b,,c", "opaque=x,fd=0", "caf\xc3\xa9 \"quoted\"",
                            longest};
    struct fdset_initial initial[7];
    struct fdset_listing *listing;
    struct fdset_manager *manager;
    int ends[2];
    memset(longest, ',', 255);
    for (int i = 0; i < 7; i++)
        initial[i] =
            (struct fdset_initial){.fd = file_open("disk", O_RDWR), .set = i, .opaque = labels[i]};
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    spawn((struct fdset_spawn_options){
        .initial = initial, .initial_count = 7, .manage_fd = ends[1], .name = "vm7"});
    close(ends[1]);
    works(fdset_manager_attach_fd(&manager, ends[0], NULL));
    works(fdset_query(manager, FDSET_ALL_SETS, &listing));
    assert_int_equal(listing->count, 7);
    for (int i = 0; i < 7; i++) {
        assert_int_equal(listing->sets[i].lifetime, FDSET_KEEP);
        assert_int_equal(listing->sets[i].member_count, 1);
        if (labels[i])
            assert_string_equal(listing->sets[i].members[0].opaque, labels[i]);
        else
            assert_null(listing->sets[i].members[0].opaque);
    }
    fdset_listing_free(listing);
    fdset_manager_free(manager);
    hang_up();
}

/* Bits of one line of /proc/PID/status. */
static unsigned long long signal_set(pid_t pid, const char *format) {
    char path[64], line[256];
    unsigned long long set = 0;
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    FILE *status = fopen(path, "re");
    assert_non_null(status);
    while (fgets(line, sizeof(line), status))
        sscanf(line, format, &set);
    fclose(status);
    return set;
}

static void test_signals_are_not_inherited(void **state) {
    sigset_t blocked, before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGCHLD);
    assert_int_equal(sigprocmask(SIG_BLOCK, &blocked, &before), 0);
    void (*handler)(int) = signal(SIGUSR1, SIG_IGN);
    spawn((struct fdset_spawn_options){0});
    pid_t pid = fdset_vmm_helper_pid(vmm);
    assert_int_equal(signal_set(pid, "SigBlk: %llx"), 1 << (SIGTERM - 1)); /* it polls for it */
    assert_int_equal(signal_set(pid, "SigIgn: %llx") & 1 << (SIGUSR1 - 1), 0);
    assert_int_equal(getpgid(pid), pid); /* signals of a terminal are not for it */
    hang_up();
    signal(SIGUSR1, handler);
    assert_int_equal(sigprocmask(SIG_SETMASK, &before, NULL), 0);
}

/* Field 7 of /proc/PID/stat: 0 where a process has no controlling terminal. */
static int controlling_terminal(pid_t pid) {
    char path[64];
    int terminal = -1;
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    FILE *stat = fopen(path, "re");
    if (stat && fscanf(stat, "%*d (%*[^)]) %*c %*d %*d %*d %d", &terminal) != 1)
        terminal = -1;
    if (stat)
        fclose(stat);
    return terminal;
}

/* Makes this process lead a session at a terminal, its standard error. */
static bool lead_session(const char *terminal) {
    int fd = setsid() < 0 ? -1 : open(terminal, O_RDWR);
    return fd >= 0 && dup2(fd, STDERR_FILENO) >= 0;
}

/* The helper may write to the terminal, but it is not its own. Returns what is wrong,
 * NULL if nothing is. */
static const char *spawn_at(const char *terminal, int keyboard) {
    struct fdset_vmm *own;
    if (!lead_session(terminal))
        return "no terminal";
    struct fdset_spawn_options options = {.helper = getenv("FDSET_TEST_HELPER")};
    if (fdset_vmm_spawn(&own, &options) < 0)
        return "no helper";
    pid_t pid = fdset_vmm_helper_pid(own);
    const char *wrong = NULL;
    if (controlling_terminal(getpid()) == 0)
        wrong = "it was taken from the VMM too";
    else if (controlling_terminal(pid) != 0)
        wrong = "the helper has it";
    fdset_vmm_free(own);
    return wrong;
}

/* Where the terminal stops who writes in the background (stty tostop), a helper that
 * has to say why it cannot start would leave us waiting for it. */
static const char *spawn_at_one_that_stops(const char *terminal, int keyboard) {
    static const char *const arguments[] = {"--no-such-option", NULL};
    struct fdset_vmm *own;
    struct termios settings;
    if (!lead_session(terminal) || tcgetattr(STDERR_FILENO, &settings) < 0)
        return "no terminal";
    settings.c_lflag |= TOSTOP;
    if (tcsetattr(STDERR_FILENO, TCSANOW, &settings) < 0)
        return "it does not stop anybody";
    alarm(60);
    struct fdset_spawn_options options = {.helper = getenv("FDSET_TEST_HELPER"),
                                          .arguments = arguments};
    return fdset_vmm_spawn(&own, &options) < 0 ? NULL : "a helper";
}

/* A VMM that has become another user may not signal its helper, but it may lead a
 * session at a terminal of its own and have the helper's group sit at the keyboard. */
static const char *type_at_the_helper(const char *terminal, int keyboard) {
    struct fdset_vmm *own;
    char echo = '\0';
    if (!lead_session(terminal))
        return "no terminal";
    alarm(60);
    struct fdset_spawn_options options = {.helper = getenv("FDSET_TEST_HELPER")};
    if (fdset_vmm_spawn(&own, &options) < 0)
        return "no helper";
    if (tcsetpgrp(STDERR_FILENO, fdset_vmm_helper_pid(own)) < 0)
        return "it cannot be in the foreground";
    /* ^C, ^\ and ^Z, each of which shows once it has been sent. */
    if (write(keyboard, "\003\034\032", 3) != 3)
        return "no keyboard";
    while (echo != 'Z')
        if (read(keyboard, &echo, 1) != 1)
            return "no echo";
    if (fdset_open(own, "/dev/fdset/1", O_RDONLY) != -ENOENT)
        return "the helper has ended";
    fdset_vmm_free(own);
    return NULL;
}

/* `check` is called in a process of its own. */
static void check_at_terminal(const char *(*check)(const char *terminal, int keyboard)) {
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), status;
    assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    int report[2];
    assert_int_equal(pipe(report), 0);
    pid_t child = fork();
    if (child == 0) {
        const char *wrong = check(ptsname(master), master);
        if (wrong)
            (void)!write(report[1], wrong, strlen(wrong));
        _exit(wrong != NULL);
    }
    close(report[1]);
    char wrong[64] = "";
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(read(report[0], wrong, sizeof(wrong) - 1) >= 0);
    assert_string_equal(wrong, "");
    assert_int_equal(status, 0);
    close(report[0]);
    close(master);
}

static void test_the_terminal_is_not_the_helpers(void **state) {
    check_at_terminal(spawn_at);
}

static void test_the_terminal_does_not_stop_the_helper(void **state) {
    check_at_terminal(spawn_at_one_that_stops);
}

static void test_no_keyboard_ends_the_helper(void **state) {
    check_at_terminal(type_at_the_helper);
}

/* A script instead of the helper, that ends without a word to us. */
static const char *script(const char *commands) {
    int fd = file_open("script", O_WRONLY);
    assert_int_equal(dprintf(fd, "#!/bin/sh\n%s\n", commands) > 0, true);
    assert_int_equal(fchmod(fd, 0700), 0);
    harness_close(fd); /* or it could not be executed */
    return file_path("script");
}

static void read_file(const char *name, char *content, size_t size) {
    int fd = file_open(name, O_RDONLY);
    ssize_t length = read(fd, content, size - 1);
    assert_true(length >= 0);
    content[length] = '\0';
}

static void test_command_line_and_environment(void **state) {
    static const char *const arguments[] = {"--quiet", "--limit", "sets=7", NULL};
    static char content[20000];
    char commands[512];
    int file = file_open("disk", O_RDWR), leaked = fcntl(file, F_DUPFD, 50); /* stays over exec */
    struct fdset_initial initial = {.fd = file, .set = 5, .opaque = "a,b"};
    snprintf(commands, sizeof(commands), "exec >%s; echo \"$@\"; ls /proc/self/fd; echo end; env",
             file_path("out"));
    struct fdset_spawn_options options = {.helper = script(commands),
                                          .manage_path = "/run/m",
                                          .manage_fd = file,
                                          .initial = &initial,
                                          .initial_count = 1,
                                          .arguments = arguments};
    setenv("NOTIFY_SOCKET", "@secret", 1);
    setenv("KEPT", "yes", 1);
    setenv("FDSET_HELPER_OPTIONS", "  --limit\tleases=9  --verbose", 1);
    assert_int_equal(fdset_vmm_spawn(&vmm, &options), -ECONNRESET);
    unsetenv("NOTIFY_SOCKET");
    unsetenv("KEPT");
    unsetenv("FDSET_HELPER_OPTIONS");
    close(leaked);
    read_file("out", content, sizeof(content));
    const char *expected = "--vmm-fd 3 --manage /run/m --manage-fd 4 "
                           "--add-fd fd=5,set=5,opaque=a,,b --quiet --limit sets=7 "
                           "--limit leases=9 --verbose\n"
                           "0\n1\n2\n3\n4\n5\n6\nend\n"; /* 6 is what ls reads */
    content[strlen(expected)] = '\0';
    assert_string_equal(content, expected);
    read_file("out", content, sizeof(content));
    assert_non_null(strstr(content, "KEPT=yes"));
    assert_null(strstr(content, "NOTIFY_SOCKET"));
}

/* ------------------------------------------------------------------- failures */

static void expect_failure(struct fdset_spawn_options options, int error, const char *text) {
    assert_int_equal(fdset_vmm_spawn(&vmm, &options), -error);
    assert_null(vmm);
    assert_string_equal(fdset_error_text(), text);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
    assert_int_equal(errno, ECHILD);
}

static void test_no_such_helper(void **state) {
    expect_failure((struct fdset_spawn_options){.helper = "/nowhere/fdset-helper"}, ENOENT,
                   "cannot start /nowhere/fdset-helper: No such file or directory");
    expect_failure((struct fdset_spawn_options){.helper = "/etc/passwd"}, EACCES,
                   "cannot start /etc/passwd: Permission denied");
}

static void test_helper_ends_before_it_is_ready(void **state) {
    expect_failure((struct fdset_spawn_options){.helper = script("exit 5")}, ECONNRESET,
                   "the helper ended with status 5 before it was ready (fdset-helper has hung up "
                   "or died; FDSET_HELPER_OPTIONS may give it options)");
    expect_failure((struct fdset_spawn_options){.helper = script("kill -9 $$")}, ECONNRESET,
                   "the helper was ended by signal 9 (Killed) before it was ready (fdset-helper "
                   "has hung up or died; FDSET_HELPER_OPTIONS may give it options)");
}

static void test_options_that_cannot_be(void **state) {
    char label[257] = "";
    int file = file_open("disk", O_RDWR);
    struct fdset_initial initial = {.fd = 999, .set = 1};
    struct fdset_spawn_options options = {
        .helper = getenv("FDSET_TEST_HELPER"), .initial = &initial, .initial_count = 1};
    expect_failure(options, EBADF,
                   "cannot pass descriptor 999 on to the helper: Bad file "
                   "descriptor");
    initial = (struct fdset_initial){.fd = file, .set = -1};
    expect_failure(options, EINVAL, "a set's number is 0 to 2147483647, not -1");
    options.initial_count = 254;
    expect_failure(options, EINVAL, "a helper starts with at most 253 descriptors");
    options.initial_count = 1;
    memset(label, 'l', 256);
    initial = (struct fdset_initial){.fd = file, .set = 1, .opaque = label};
    expect_failure(options, EINVAL, "the label of set 1 is longer than 255 bytes");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        glue_test(test_spawn_and_end),
        glue_test(test_helper_from_the_environment),
        glue_test(test_helper_is_reaped_by_the_vmm),
        glue_test(test_child_leaves_its_parents_helper_alone),
        glue_test(test_helper_that_lingers_is_not_waited_for),
        glue_test(test_initial_descriptors),
        glue_test(test_vmm_without_standard_streams),
        glue_test(test_labels),
        glue_test(test_signals_are_not_inherited),
        glue_test(test_the_terminal_is_not_the_helpers),
        glue_test(test_the_terminal_does_not_stop_the_helper),
        glue_test(test_no_keyboard_ends_the_helper),
        glue_test(test_command_line_and_environment),
        glue_test(test_no_such_helper),
        glue_test(test_helper_ends_before_it_is_ready),
        glue_test(test_options_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* --ready-fd: who has read the line can connect; who has read the end of file knows that
 * nobody can. */
#include "harness.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define STARTS 30

static char output[4096];

/* Starts a helper with the end of a pipe that is written to, which it takes over. */
static pid_t start_with(const char *path, int writes) {
    char number[16];

    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        fcntl(writes, F_SETFD, 0);
        snprintf(number, sizeof(number), "%d", writes);
        execl(getenv("FDSET_TEST_HELPER"), "fdset-helper", "--quiet", "--manage", path,
              "--ready-fd", number, NULL);
        _exit(127);
    }
    close(writes);
    return pid;
}

/* Starts a helper whose ready descriptor is the pipe that `ready` reads from. */
static pid_t start(const char *path, int *ready) {
    int line[2];

    assert_int_equal(pipe2(line, O_CLOEXEC), 0);
    *ready = line[0];
    return start_with(path, line[1]);
}

/* All until the end of file. */
static const char *read_all(int fd) {
    static char text[100];
    size_t used = 0;
    ssize_t length;

    while ((length = read(fd, text + used, sizeof(text) - 1 - used)) > 0)
        used += (size_t)length;
    text[used] = '\0';
    close(fd);
    return text;
}

/* A socket that is connected, or -1. */
static int try_to_connect(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* The process whose socket it is. */
static pid_t says_hello(int fd) {
    struct ucred server = {0};
    socklen_t size = sizeof(server);

    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &server, &size), 0);
    struct client *client = client_new(fd);
    assert_int_equal(client_hello(client, "asks")->body_case, REPLY(HELLO));
    client_free(client);
    return server.pid;
}

/* The helper's process, as its socket has it. */
static pid_t connect_to(const char *path) {
    int fd = try_to_connect(path);

    if (fd < 0)
        fail_msg("cannot connect to %s", path);
    return says_hello(fd);
}

static bool serves(const char *path) {
    int fd = try_to_connect(path);
    return fd >= 0 && says_hello(fd) > 0;
}

/* Without a socket, and over one that a killed helper has left. */
static void test_line_means_that_it_serves(void **state) {
    const char *path = file_path("manage");
    int ready, status;

    for (int i = 0; i < STARTS; i++) {
        pid_t pid = start(path, &ready);
        assert_string_equal(read_all(ready), "ready\n");
        assert_int_equal(connect_to(path), pid);
        kill(pid, i % 2 ? SIGKILL : SIGTERM);
        assert_int_equal(waitpid(pid, &status, 0), pid);
    }
}

static void read_line(pid_t pid, const char *name, char *line, size_t size) {
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    FILE *file = fopen(path, "re");
    if (!file || !fgets(line, (int)size, file))
        line[0] = '\0';
    if (file)
        fclose(file);
}

/* A child of the helper's that is what it is: a tracer, that some tests run it under, is
 * not. */
static bool has_child(pid_t pid) {
    char name[64], children[200], other[64];

    snprintf(name, sizeof(name), "task/%d/children", pid);
    read_line(pid, name, children, sizeof(children));
    read_line(pid, "comm", name, sizeof(name));
    for (char *child = strtok(children, " \n"); child; child = strtok(NULL, " \n")) {
        read_line(atoi(child), "comm", other, sizeof(other));
        if (!strcmp(name, other))
            return true;
    }
    return false;
}

/* What wrote the line is gone with it. */
static void test_no_process_is_left(void **state) {
    int ready, status;

    pid_t pid = start(file_path("manage"), &ready);
    assert_string_equal(read_all(ready), "ready\n");
    while (has_child(pid)) /* its end closed the pipe, and is not over then */
        ;
    kill(pid, SIGTERM);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* Nobody reads: what would write the line ends with the helper. */
static void test_no_process_is_left_at_a_full_pipe(void **state) {
    char bytes[4096] = "";
    int line[2], status;

    assert_int_equal(pipe2(line, O_CLOEXEC | O_NONBLOCK), 0);
    while (write(line[1], bytes, sizeof(bytes)) > 0)
        ;
    assert_int_equal(fcntl(line[1], F_SETFL, 0), 0);
    pid_t pid = start_with(file_path("manage"), line[1]);
    while (!serves(file_path("manage")))
        assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
    kill(pid, SIGTERM);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    /* The end of file, at last, as nobody has the other end. */
    struct pollfd end = {.fd = line[0]};
    assert_int_equal(poll(&end, 1, client_patience * 1000), 1);
    assert_true(end.revents & POLLHUP);
    close(line[0]);
}

/* Nothing stands in for what was not passed on. */
static void test_closed_standard_output(void **state) {
    char command[1000];

    snprintf(command, sizeof(command), "exec %s --manage %s --ready-fd 1 >&- 2>%s",
             getenv("FDSET_TEST_HELPER"), file_path("m"), file_path("said"));
    int status = system(command);
    assert_int_equal(WEXITSTATUS(status), 2);
}

static void test_no_line_where_it_does_not_start(void **state) {
    int ready, status, file = file_open("manage", O_RDWR);

    assert_true(file >= 0);
    pid_t pid = start(file_path("manage"), &ready);
    assert_string_equal(read_all(ready), "");
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 1 << 8);
}

static void test_wrong_descriptors(void **state) {
    static const char *const wrong[] = {"0", "2", "x", "-1", "999", "99999999999"};
    int reading = file_open("file", O_RDONLY), closed = file_open("other", O_RDWR);
    char number[16];

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const char *arguments[] = {"--manage", file_path("m"), "--ready-fd", wrong[i], NULL};
        assert_int_equal(helper_run(arguments, NULL, output, sizeof(output)), 2);
        assert_non_null(strstr(output, "--ready-fd: "));
    }
    for (int i = 0; i < 2; i++) {
        snprintf(number, sizeof(number), "%d", i ? closed : reading);
        const char *arguments[] = {"--manage", file_path("m"), "--ready-fd", number, NULL};
        assert_int_equal(helper_run(arguments, (int[]){reading, -1}, output, sizeof(output)), 2);
        assert_non_null(strstr(output, "is not open for writing"));
    }
}

/* As the man page shows it. */
static void test_in_a_shell(void **state) {
    static const char *const lines[] = {
        "[ \"$(fdset-helper --manage manage --vmm vmm --ready-fd 3 3>&1 >&2 &)\" = ready ]",
        "[ \"$(fdset-helper --manage manage --vmm vmm --ready-fd 1 &)\" = ready ]",
        "fdset-helper --manage manage --vmm vmm --ready-fd 3 3>fifo & read line <fifo",
    };
    static const char *const shells[] = {"sh", "bash"};
    char command[1000], manage[200], path[8192];

    snprintf(manage, sizeof(manage), "%s", file_path("manage"));
    assert_int_equal(symlink(getenv("FDSET_TEST_HELPER"), file_path("fdset-helper")), 0);
    snprintf(path, sizeof(path), "%s:%s", file_path(""), getenv("PATH"));
    setenv("PATH", path, 1);
    assert_int_equal(mkfifo(file_path("fifo"), 0600), 0);
    for (size_t i = 0; i < 6; i++) {
        snprintf(command, sizeof(command), "cd %s && exec %s -c '%s' 2>/dev/null", file_path(""),
                 shells[i % 2], lines[i / 2]);
        print_message("# %s\n", command);
        assert_int_equal(system(command), 0);
        kill(connect_to(manage), SIGTERM);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_line_means_that_it_serves),
        helper_test(test_no_process_is_left),
        helper_test(test_no_process_is_left_at_a_full_pipe),
        helper_test(test_closed_standard_output),
        helper_test(test_no_line_where_it_does_not_start),
        helper_test(test_wrong_descriptors),
        helper_test(test_in_a_shell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Started as systemd starts a service by its sockets: LISTEN_FDS, LISTEN_PID and
 * LISTEN_FDNAMES, and READY=1 on NOTIFY_SOCKET. */
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

#define MOST 4

/* What a service manager sets up: listening sockets, in this order from 3 on. */
static int sockets[MOST], count;

static void listen_at(const char *name) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, file_path(name));
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 8), 0);
    sockets[count++] = harness_keep(fd);
}

/* In the child. LISTEN_PID is what only it can know; `forged` is somebody else's. */
static void become_helper(const char *const *arguments, pid_t forged, int messages) {
    static char program[4096], user[16], pid[32];
    char *argv[16] = {program, (char *)"--user", user};
    int moved[MOST], length = 3;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(program, sizeof(program), "%s", getenv("FDSET_TEST_HELPER"));
    snprintf(user, sizeof(user), "%d", 1000000 + getppid());
    snprintf(pid, sizeof(pid), "LISTEN_PID=%d", forged ? forged : getpid());
    putenv(pid);
    while (*arguments)
        argv[length++] = (char *)*arguments++;
    dup2(messages, STDERR_FILENO);
    for (int i = 0; i < count; i++)
        moved[i] = fcntl(sockets[i], F_DUPFD_CLOEXEC, 500);
    for (int i = 0; i < count; i++)
        dup2(moved[i], 3 + i);
    execv(program, argv);
    _exit(127);
}

/* Starts the helper, which then has the only copies of the sockets. */
static pid_t activate(const char *names, const char *fds, pid_t forged,
                      const char *const *arguments, int messages) {
    setenv("LISTEN_FDS", fds, 1);
    if (names)
        setenv("LISTEN_FDNAMES", names, 1);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        become_helper(arguments, forged, messages);
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    while (count > 0)
        harness_close(sockets[--count]);
    return pid;
}

static int status_of(pid_t pid) {
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int try_connect(const char *name) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, file_path(name));
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    int error = errno;
    close(fd);
    return -error;
}

static struct client *reach(const char *name, int role) {
    int fd = try_connect(name);
    assert_true(fd >= 0);
    struct client *client = client_new(fd);
    assert_int_equal(client_hello(client, name)->hello->role, role);
    return client;
}

/* ------------------------------------------------------------------- the tests */

#define NOTHING_MORE ((const char *const[]){NULL})

/* The name alone tells the role: not the order, not the path. */
static void test_each_name_is_a_role(void **state) {
    listen_at("first");
    listen_at("second");
    listen_at("third");
    pid_t pid = activate("vmm:observe:manage", "3", 0, NOTHING_MORE, STDERR_FILENO);

    struct client *manager = reach("third", ROLE(MANAGER));
    struct client *observer = reach("second", ROLE(OBSERVER));
    struct client *vmm = reach("first", ROLE(VMM));
    int disk = file_open("disk", O_RDWR);
    client_add_one(manager, 7, disk);
    assert_serves(client_open_set(vmm, 7, O_RDWR).fd, disk, O_RDWR);
    assert_int_equal(client_query(observer, SET_ALL, NULL)->n_sets, 1);

    /* It was given sockets to listen at, so it stays when all have gone. */
    client_free(vmm);
    client_free(observer);
    client_free(manager);
    manager = reach("third", ROLE(MANAGER));
    client_wait_idle(manager);
    client_free(manager);
    kill(pid, SIGTERM);
    assert_int_equal(status_of(pid), 0);
}

/* How many datagram sockets a process has open: by their inodes, as the kernel lists them. */
static int datagram_sockets(pid_t pid) {
    char path[64], target[64], line[256], flags[16], wanted[32];
    unsigned type, inode;
    int found = 0;

    for (int fd = 0; fd < 1024; fd++) {
        snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
        ssize_t length = readlink(path, target, sizeof(target) - 1);
        if (length < 0)
            continue;
        target[length] = '\0';
        FILE *list = fopen("/proc/net/unix", "re");
        assert_non_null(list);
        while (fgets(line, sizeof(line), list)) {
            if (sscanf(line, "%*s %*s %*s %15s %x %*s %u", flags, &type, &inode) != 3)
                continue;
            snprintf(wanted, sizeof(wanted), "socket:[%u]", inode);
            found += type == SOCK_DGRAM && strcmp(wanted, target) == 0;
        }
        fclose(list);
    }
    return found;
}

/* Whoever is told of readiness can connect; and what is on the command line counts too. */
static void test_it_says_when_it_is_ready(void **state) {
    static const char name[] = "@fdset-test-notify-%d";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char text[64], message[2048] = "", path[200];
    int length = snprintf(text, sizeof(text), name, getpid());
    memcpy(address.sun_path + 1, text + 1, (size_t)length - 1);
    int notify = harness_keep(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    assert_int_equal(bind(notify, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)length)),
                     0);
    listen_at("manage.sock");
    snprintf(path, sizeof(path), "%s", file_path("vmm.sock"));
    setenv("NOTIFY_SOCKET", text, 1);
    pid_t pid =
        activate("manage", "1", 0, (const char *const[]){"--vmm", path, NULL}, STDERR_FILENO);
    unsetenv("NOTIFY_SOCKET");

    struct pollfd readable = {.fd = notify, .events = POLLIN};
    assert_int_equal(poll(&readable, 1, 30000), 1);
    assert_true(recv(notify, message, sizeof(message) - 1, 0) > 0);
    assert_non_null(strstr(message, "READY=1\n"));
    assert_non_null(strstr(message, "STATUS="));
    client_free(reach("manage.sock", ROLE(MANAGER)));
    /* It has said what it had to say, and keeps no way to the service manager. */
    assert_int_equal(datagram_sockets(pid), 0);
    client_free(reach("vmm.sock", ROLE(VMM)));
    kill(pid, SIGTERM);
    assert_int_equal(status_of(pid), 0);
}

/* What a helper says that is started with one socket, or with two. Returns its status. */
static int say(const char *names, const char *fds, pid_t forged, char *said, size_t size) {
    int pipes[2];
    size_t used = 0;
    ssize_t length;

    listen_at("manage.sock");
    if (fds[0] == '2')
        listen_at("vmm.sock");
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    pid_t pid = activate(names, fds, forged, NOTHING_MORE, pipes[1]);
    close(pipes[1]);
    while ((length = read(pipes[0], said + used, size - 1 - used)) > 0)
        used += (size_t)length;
    said[used] = '\0';
    close(pipes[0]);
    unlink(file_path("manage.sock"));
    unlink(file_path("vmm.sock"));
    return status_of(pid);
}

/* Sockets that are not for this process are none: then there is nobody to serve, and the
 * helper says so and ends. */
static void test_what_is_no_activation(void **state) {
    char said[1024];

    assert_int_equal(say("manage", "1", getpid(), said, sizeof(said)), 2); /* a wrapper's */
    assert_non_null(strstr(said, "nobody could reach this helper"));
    assert_int_equal(say("manage", "0", 0, said, sizeof(said)), 2);
    assert_non_null(strstr(said, "nobody could reach this helper"));
}

/* One that is not served would be waited at for ever: by default systemd calls a socket as
 * its unit. */
static void test_what_is_called_otherwise(void **state) {
    static const struct {
        const char *names, *fds, *said;
    } rows[] = {
        {"managers", "1", "of 1, LISTEN_FDNAMES says \"managers\""}, /* begins like one */
        {"fdset-helper-manage.socket", "1", "\"fdset-helper-manage.socket\""},
        {"unknown", "1", "\"unknown\""},
        {"manage:fdset-helper-vmm.socket", "2", "\"manage:fdset-helper-vmm.socket\""},
        {"nonsense:vmm", "2", "of 2, LISTEN_FDNAMES says \"nonsense:vmm\""},
        {"manage", "2", "\"manage\""},
        {":manage", "1", "\":manage\""},
        {"man\033[1mage\n", "1", "\"man?[1mage?\""},
        {NULL, "1", "LISTEN_FDNAMES says \"\""},
        {"manage", "-1", "not LISTEN_FDS=-1"},
        {"manage", "1025", "up to 1024 sockets, not LISTEN_FDS=1025"},
        {"manage", "many", "not LISTEN_FDS=many"},
        {"manage", "", "not LISTEN_FDS="},
    };
    char said[1024];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        print_message("# row %zu\n", i);
        assert_int_equal(say(rows[i].names, rows[i].fds, 0, said, sizeof(said)), 1);
        assert_non_null(strstr(said, rows[i].said));
        assert_true(strstr(said, "LISTEN_FDS=") ||
                    strstr(said, "must be called manage, vmm or observe (FileDescriptorName="));
    }
}

/* A service manager that passes a socket of the wrong type has a fault in its unit. */
static void test_a_socket_of_another_type(void **state) {
    char said[1024] = "";
    int pipes[2];
    sockets[count++] = harness_keep(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    pid_t pid = activate("manage", "1", 0, NOTHING_MORE, pipes[1]);
    close(pipes[1]);
    assert_true(read(pipes[0], said, sizeof(said) - 1) > 0);
    close(pipes[0]);
    assert_int_equal(status_of(pid), 1);
    assert_non_null(strstr(said, "SOCK_SEQPACKET"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_each_name_is_a_role),      helper_test(test_it_says_when_it_is_ready),
        helper_test(test_what_is_no_activation),    helper_test(test_what_is_called_otherwise),
        helper_test(test_a_socket_of_another_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

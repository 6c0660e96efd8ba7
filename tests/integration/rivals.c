/* SPDX-License-Identifier: MIT */
/* Two helpers that are started for one path at the same moment. Whatever each of them
 * is held up by, one serves, and the other says which process does, and ends. */
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

/* Sanitizers take ten times as long to start, and find as much in fewer. */
#ifdef __SANITIZE_ADDRESS__
#define ROUNDS 200
#else
#define ROUNDS 1000
#endif

struct rival {
    pid_t pid;
    int log; /* what it says on standard error */
    char said[2000];
    size_t length;
    bool ended;
};

static const char *const options[] = {"--vmm", "--manage", "--observe"};

/* One path in three spellings. */
static const char *spelling(int round, const char *name) {
    static char path[200];
    const char *const before[] = {"", "./", "../"};
    const char *directory = strrchr(file_path(""), '/');

    while (directory[-1] != '/')
        directory--;
    snprintf(path, sizeof(path), "%s%s%s%s", file_path(""), before[round % 3],
             round % 3 == 2 ? directory : "", name);
    return path;
}

/* Every combination of three calls that are held up or not, for both. */
static void set_delays(int round, int which) {
    unsigned bits = (unsigned)round / 2 >> (which * 3);
    char delays[40];

    snprintf(delays, sizeof(delays), "%u,%u,%u", bits & 1 ? 600 : 0, bits & 2 ? 600 : 0,
             bits & 4 ? 600 : 0);
    setenv("FDSET_TEST_DELAYS", delays, 1);
}

/* Both have two sockets, in different orders. They begin as `go` is closed. */
static void rival_start(struct rival *rival, int round, int which, const int *go) {
    char paths[2][200], byte;
    int log[2], role = round % 3;

    snprintf(paths[which], sizeof(paths[0]), "%s", spelling(round + which, "first"));
    snprintf(paths[!which], sizeof(paths[0]), "%s", spelling(round, "second"));
    assert_int_equal(pipe2(log, O_CLOEXEC), 0);
    set_delays(round, which);
    *rival = (struct rival){.pid = fork(), .log = log[0]};
    assert_true(rival->pid >= 0);
    if (rival->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(log[1], STDERR_FILENO);
        close(go[1]);
        while (read(go[0], &byte, 1) < 0)
            ;
        execl(getenv("RIVALS_HELPER"), "fdset-helper", options[(role + which) % 3], paths[0],
              options[(role + !which) % 3], paths[1], NULL);
        _exit(127);
    }
    close(log[1]);
}

/* Until both have said what they have to say. */
static void listen_to(struct rival *rivals) {
    while (!strchr(rivals[0].said, '\n') || !strchr(rivals[1].said, '\n')) {
        struct pollfd logs[2];
        for (int i = 0; i < 2; i++)
            logs[i] = (struct pollfd){strchr(rivals[i].said, '\n') ? -1 : rivals[i].log, POLLIN, 0};
        assert_true(poll(logs, 2, -1) > 0);
        for (int i = 0; i < 2; i++) {
            if (!logs[i].revents)
                continue;
            ssize_t length = read(rivals[i].log, rivals[i].said + rivals[i].length,
                                  sizeof(rivals[i].said) - 1 - rivals[i].length);
            if (length <= 0)
                fail_msg("a helper ended and said nothing");
            rivals[i].length += (size_t)length;
        }
    }
}

static pid_t who_serves(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    struct ucred server = {0};
    socklen_t size = sizeof(server);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        fail_msg("connect %s: %s", path, strerror(errno));
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &server, &size), 0);
    /* It is alive to us, not only to the kernel. */
    struct client *client = client_new(fd);
    assert_int_equal(client_hello(client, "asks")->body_case, REPLY(HELLO));
    client_free(client);
    return server.pid;
}

static int is_ready(const struct rival *rival) {
    return strstr(rival->said, ": ready:") != NULL;
}

static void play(int round) {
    struct rival rivals[2];
    char wanted[100], path[200];
    int go[2], status;

    if (round % 2 == 0) {
        unlink(file_path("first"));
        unlink(file_path("second"));
    }
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    for (int i = 0; i < 2; i++)
        rival_start(&rivals[i], round, i, go);
    close(go[0]);
    close(go[1]);
    listen_to(rivals);
    if (is_ready(&rivals[0]) + is_ready(&rivals[1]) != 1)
        fail_msg("round %d:\n%s%s", round, rivals[0].said, rivals[1].said);
    struct rival *winner = &rivals[is_ready(&rivals[1])], *other = &rivals[!is_ready(&rivals[1])];

    snprintf(path, sizeof(path), "%s", file_path("first"));
    assert_int_equal(who_serves(path), winner->pid);
    snprintf(path, sizeof(path), "%s", file_path("second"));
    assert_int_equal(who_serves(path), winner->pid);
    snprintf(wanted, sizeof(wanted), ": process %d (fdset-helper", winner->pid);
    if (!strstr(other->said, wanted))
        fail_msg("not \"%s\" but %s", wanted, other->said);
    assert_int_equal(waitpid(other->pid, &status, 0), other->pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    kill(winner->pid, SIGKILL);
    assert_int_equal(waitpid(winner->pid, &status, 0), winner->pid);
    close(winner->log);
    close(other->log);
}

/* Every second time over the sockets of one that was killed. */
static void test_one_of_two_serves(void **state) {
    for (int round = 0; round < ROUNDS; round++)
        play(round);
    unsetenv("FDSET_TEST_DELAYS");
}

/* From the first moment that it is seen to the last before somebody could connect. */
static void test_mode_from_the_first_moment(void **state) {
    struct stat seen;
    char said[2000];
    int log[2], status;
    bool heard = false;

    assert_int_equal(pipe2(log, O_CLOEXEC | O_NONBLOCK), 0);
    setenv("FDSET_TEST_DELAYS", "0,0,100000", 1);
    pid_t pid = fork();
    if (pid == 0) {
        umask(0);
        dup2(log[1], STDERR_FILENO);
        execl(getenv("RIVALS_HELPER"), "fdset-helper", "--vmm", file_path("vmm"), "--vmm-mode",
              "0620", geteuid() ? NULL : "--vmm-owner", "4242:4243", NULL);
        _exit(127);
    }
    close(log[1]);
    unsetenv("FDSET_TEST_DELAYS");
    for (unsigned looks = 0; !heard || looks == 0;) {
        heard = read(log[0], said, sizeof(said)) > 0;
        if (stat(file_path("vmm"), &seen) < 0)
            continue;
        looks++;
        assert_int_equal(seen.st_mode & 07777, 0620);
        assert_true(seen.st_uid == geteuid() || seen.st_uid == 4242);
    }
    if (geteuid() == 0) {
        assert_int_equal(seen.st_uid, 4242);
        assert_int_equal(seen.st_gid, 4243);
    }
    close(log[0]);
    kill(pid, SIGTERM);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_one_of_two_serves),
        helper_test(test_mode_from_the_first_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The relay of QEMU's monitors in its sandbox: what it has left, seen from outside, and that no
 * call but those of its table is survived. That it can do its work there is qmp-relay's. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "oracle.h"

#include "confine.h"
#include "confine/filter.h"
#include "confine/stage.h"

/* Beyond all numbers that there are. */
#define CALLS 1024

/* cmocka catches deadly signals. */
static void signals_reset(void) {
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
}

/* A confined process that stays until `pipe`, of which it has the other end, is closed. */
static pid_t relay_stay(int *end) {
    int pair[2];
    char path[100], byte = 0;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    pid_t child = fork();
    if (child == 0) {
        signals_reset();
        close(pair[0]);
        if (relay_confine() < 0)
            _exit(1);
        struct iovec vector = {&byte, 1};
        struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1};
        sendmsg(pair[1], &header, MSG_DONTWAIT | MSG_NOSIGNAL);
        poll(&(struct pollfd){.fd = pair[1], .events = POLLIN}, 1, -1);
        syscall(SYS_exit_group, 0);
    }
    close(pair[1]);
    assert_int_equal(read(pair[0], &byte, 1), 1);
    snprintf(path, sizeof(path), "/proc/%d", child);
    assert_int_equal(access(path, F_OK), 0);
    *end = pair[0];
    return child;
}

static void relay_end(pid_t child, int end) {
    int status;

    close(end);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static bool file_has(pid_t pid, const char *file, const char *wanted) {
    char path[100], line[300];
    bool found = false;

    snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
    FILE *stream = fopen(path, "re");
    assert_non_null(stream);
    while (!found && fgets(line, sizeof(line), stream))
        found = strncmp(line, wanted, strlen(wanted)) == 0;
    fclose(stream);
    return found;
}

static void test_what_it_has_left(void **state) {
    static const char *const wanted[] = {"CapInh:\t0000000000000000",
                                         "CapPrm:\t0000000000000000",
                                         "CapEff:\t0000000000000000",
                                         "CapAmb:\t0000000000000000",
                                         "NoNewPrivs:\t1",
                                         "Seccomp:\t2"};
    int end;
    pid_t child = relay_stay(&end);
    struct stat memory;
    char path[100];

    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        if (!file_has(child, "status", wanted[i]))
            fail_msg("not so: %s", wanted[i]);
    if (geteuid() == 0)
        assert_true(file_has(child, "status", "CapBnd:\t0000000000000000"));
    assert_true(file_has(child, "limits", "Max core file size        0                    0 "));
    assert_true(file_has(child, "limits", "Max processes             0                    0 "));
    /* Not dumpable: what shows its memory is root's. */
    snprintf(path, sizeof(path), "/proc/%d/mem", child);
    assert_int_equal(stat(path, &memory), 0);
    assert_int_equal(memory.st_uid, 0);
    relay_end(child, end);
}

/* ------------------------------------------------------------------ calls */

static int confined(void (*attempt)(const long *), const long *arguments) {
    pid_t child = fork();
    int status;

    if (child == 0) {
        signals_reset();
        if (relay_confine() < 0)
            _exit(1);
        attempt(arguments);
        syscall(SYS_exit_group, 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void call_make(const long *call) {
    syscall(call[0], call[1], call[2], call[3], call[4], call[5], 0L);
}

static bool is_deadly(const long *call) {
    int status = confined(call_make, call);

    assert_false(WIFEXITED(status) && WEXITSTATUS(status) != 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

static bool has_rule(long number) {
    for (size_t i = 0; i < filter_rule_count; i++)
        if (seccomp_syscall_resolve_name(filter_rules[i].call) == number)
            return true;
    return false;
}

/* uretprobe and uprobe of x86_64, which no filter is asked about. */
static bool is_past_filters(long number) {
#ifdef __x86_64__
    return number == 335 || number == 336;
#else
    return false;
#endif
}

static void test_no_other_call(void **state) {
    for (long number = 0; number < CALLS; number++) {
        if (has_rule(number) || is_past_filters(number))
            continue;
        const long call[6] = {number, -1, -1, -1, -1, -1};
        if (!is_deadly(call))
            fail_msg("call %ld is survived", number);
    }
}

static void test_no_other_arguments(void **state) {
    static const struct {
        const char *what;
        long call[6];
        bool deadly;
    } rows[] = {
        {"a flag of a file", {SYS_fcntl, -1, F_SETFL, 0}, true},
        {"a lock", {SYS_fcntl, -1, F_OFD_SETLK, 0}, true},
        {"a flag that is asked for", {SYS_fcntl, -1, F_GETFL}, false},
        {"code", {SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1}, true},
        {"memory",
         {SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1},
         false},
        {"a message that raises SIGPIPE", {SYS_sendmsg, -1, 0, MSG_DONTWAIT}, true},
        {"a message", {SYS_sendmsg, -1, 0, MSG_DONTWAIT | MSG_NOSIGNAL}, false},
        {"a packet for somebody else",
         {SYS_sendto, -1, 0, 0, MSG_DONTWAIT | MSG_NOSIGNAL, 1},
         true},
        {"what is only looked at", {SYS_recvmsg, -1, 0, MSG_PEEK}, true},
        {"half of a connection", {SYS_shutdown, -1, SHUT_WR}, true},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (is_deadly(rows[i].call) != rows[i].deadly)
            fail_msg("%s: %s", rows[i].what, rows[i].deadly ? "survived" : "deadly");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        oracle_test(test_what_it_has_left),
        oracle_test(test_no_other_call),
        oracle_test(test_no_other_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

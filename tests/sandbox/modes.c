/* SPDX-License-Identifier: MIT */
/* What --sandbox can weaken, and who refuses that. */
#include "harness.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/audit.h>
#include <linux/netlink.h>

static char output[4000];

/* A helper whose emulator has hung up already: it starts, and ends. */
static int run_helper(const char *mode) {
    char fd[16];
    int pair[2], status;

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    close(pair[0]);
    snprintf(fd, sizeof(fd), "%d", pair[1]);
    const char *arguments[] = {"--verbose", "--vmm-fd", fd, mode ? "--sandbox" : NULL, mode, NULL};
    status = helper_run(arguments, (int[]){pair[1], -1}, output, sizeof(output));
    close(pair[1]);
    return status;
}

static void test_without_a_word(void **state) {
    assert_int_equal(run_helper(NULL), 0);
    assert_int_equal(run_helper("enforce"), 0);
    assert_null(strstr(output, "only logs"));
    assert_int_equal(run_helper("best-effort"), 0);
    assert_int_equal(run_helper("log"), 0);
    assert_non_null(strstr(output, "seccomp(partly: only logs"));
}

/* ---------------------------------------------------------- the shipped unit */

/* Sets what the unit sets. Its command line has no --sandbox, so an
 * administrator's drop-in has to replace it, which leaves the environment. */
static void take_over_unit(const char *path) {
    FILE *unit = fopen(path, "re");
    char line[300], name[100], value[100];
    int commands = 0;

    if (!unit)
        fail_msg("SANDBOX_UNIT does not name the unit");
    while (fgets(line, sizeof(line), unit)) {
        if (!strncmp(line, "ExecStart=", 10))
            commands += !strstr(line, "--sandbox");
        if (sscanf(line, "Environment=%99[^=]=%99s", name, value) == 2)
            setenv(name, value, 1);
    }
    fclose(unit);
    assert_int_equal(commands, 1);
}

static void test_unit_refuses(void **state) {
    static const char *const less[] = {"log", "best-effort"};

    take_over_unit(getenv("SANDBOX_UNIT"));
    for (size_t i = 0; i < sizeof(less) / sizeof(less[0]); i++) {
        assert_int_equal(run_helper(less[i]), 2);
        assert_non_null(strstr(output, "FDSET_SANDBOX=enforce"));
    }
    assert_int_equal(run_helper("enforce"), 0);
    assert_int_equal(run_helper(NULL), 0);
    setenv("FDSET_SANDBOX", "enforced", 1);
    assert_int_equal(run_helper(NULL), 2);
    unsetenv("FDSET_SANDBOX");
}

/* ----------------------------------------------------------- the kernel's log */

/* What auditd would get. It may lose some, where others write much. */
static bool is_logged(int audit, int call) {
    struct pollfd ready = {.fd = audit, .events = POLLIN};
    char record[4096], wanted[40];

    snprintf(wanted, sizeof(wanted), " syscall=%d ", call);
    while (poll(&ready, 1, 1000) > 0) {
        struct nlmsghdr *header = (struct nlmsghdr *)record;
        ssize_t length = recv(audit, record, sizeof(record) - 1, 0);
        if (length < (ssize_t)sizeof(*header) || header->nlmsg_type != AUDIT_SECCOMP)
            continue;
        record[length] = '\0';
        const char *text = NLMSG_DATA(header);
        if (strstr(text, "fdset-helper-without-memory") && strstr(text, wanted) &&
            strstr(text, "code=0x7ffc0000"))
            return true;
    }
    return false;
}

static void test_log_names_the_call(void **state) {
    struct sockaddr_nl group = {.nl_family = AF_NETLINK,
                                .nl_groups = 1 << (AUDIT_NLGRP_READLOG - 1)};
    char *helper = strdup(getenv("FDSET_TEST_HELPER"));
    int audit = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_AUDIT);
    bool logged = false, bound = bind(audit, (struct sockaddr *)&group, sizeof(group)) == 0;

    setenv("FDSET_TEST_HELPER", getenv("SANDBOX_HELPER_WITHOUT_MEMORY"), 1);
    setenv("SANDBOX_ALLOCATE", "brk", 1);
    for (int attempt = 0; bound && !logged && attempt < 20; attempt++) {
        assert_int_equal(run_helper("log"), 0);
        logged = is_logged(audit, SYS_brk);
    }
    unsetenv("SANDBOX_ALLOCATE");
    setenv("FDSET_TEST_HELPER", helper, 1);
    free(helper);
    close(audit);
    if (!bound)
        skip(); /* only root may read it, and not in a container */
    assert_true(logged);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_without_a_word),
        helper_test(test_unit_refuses),
        helper_test(test_log_names_the_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

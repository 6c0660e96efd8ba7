/* SPDX-License-Identifier: MIT */
/* libfdset-preload.so, which must be preloaded into this very program: the numbers of its
 * own descriptors. A program that chooses numbers, as every shell does, must not meet them.
 *
 *     shim-numbers                the tests
 *     shim-numbers first N        for the tests: the first open of a set gets number N
 *     shim-numbers takes N        for the tests: puts a file of its own at number N, before
 *                                 and after it has opened a set
 *     shim-numbers few            for the tests: all of it with hardly a number to spare */
#include "shim-scene.h"

#include <errno.h>
#include <fcntl.h>
#include <fdset/vmm.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *self;

static bool is_null(int fd) {
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == 0x103;
}

/* A set can be opened, and the helper hears of its end. */
static void assert_connected(void) {
    int fd = open(DISK, O_RDONLY);
    assert_is_disk(fd);
    assert_leases(1);
    assert_int_equal(close(fd), 0);
    assert_leases(0);
}

static void test_dup2_onto_the_socket(void **state) {
    int null = open("/dev/null", O_RDONLY), number[2], held = open(DISK, O_RDWR);

    for (int i = 0; i < 2; i++) {
        number[i] = socket_find();
        assert_int_equal(dup2(null, number[i]), number[i]);
        assert_true(is_null(number[i]));
        assert_int_equal(fcntl(number[i], F_GETFD), 0);
        assert_int_not_equal(socket_find(), number[i]);
        assert_int_equal(fcntl(socket_find(), F_GETFD), FD_CLOEXEC);
    }
    assert_leases(1);
    /* Now they are the program's, as any. */
    assert_int_equal(close(number[0]), 0);
    assert_int_equal(dup3(held, number[1], O_CLOEXEC), number[1]);
    assert_is_disk(number[1]);
    close(held);
    assert_leases(1);
    int third = socket_find();
    assert_int_equal(dup3(number[1], third, 0), third);
    close(number[1]);
    assert_leases(1);
    assert_int_equal(close(third), 0);
    close(null);
    assert_leases(0);
    assert_connected();
}

/* What fails for its own reasons moves nothing, and leaves nothing behind. */
static void test_dup2_that_fails(void **state) {
    int socket = socket_find(), null = open("/dev/null", O_RDONLY);
    struct rlimit limit, less;

    assert_int_equal(dup2(-1, socket), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(dup3(null, socket, 0x1234), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(socket_find(), socket);
    getrlimit(RLIMIT_NOFILE, &limit);
    less = limit;
    less.rlim_cur = (rlim_t)socket;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &less), 0);
    assert_int_equal(dup2(null, socket), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(dup2(null, socket), socket);
    close(socket);
    close(null);
    assert_connected();
}

/* Nor does it end a lease: what stays open stays the program's alone. */
static void test_dup2_above_the_limit(void **state) {
    int null = open("/dev/null", O_RDONLY), fd = open(DISK, O_RDONLY);
    int high = fcntl(fd, F_DUPFD_CLOEXEC, 500);
    struct rlimit limit, less;

    close(fd);
    assert_true(high >= 500);
    getrlimit(RLIMIT_NOFILE, &limit);
    less = limit;
    less.rlim_cur = 400;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &less), 0);
    assert_int_equal(dup2(null, high), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(dup3(null, high, O_CLOEXEC), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_is_disk(high);
    assert_leases(1);
    assert_int_equal(close(high), 0);
    close(null);
    assert_leases(0);
}

/* In a process with one thread the table is not copied. */
static void test_close_range_unshared(void **state) {
    int fd = open(DISK, O_RDONLY);

    assert_leases(1);
    assert_int_equal(close_range((unsigned)fd, UINT_MAX, CLOSE_RANGE_UNSHARE), 0);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_leases(0);
    assert_connected();
}

static void *open_what_is_missing(void *data) {
    *(int *)data = open("/dev/fdset/77", O_RDWR | O_CLOEXEC);
    return NULL;
}

/* The answer comes over the socket that has moved meanwhile. */
static void test_a_thread_that_waits_for_its_answer(void **state) {
    struct fdset_member member = {.fd = file_open("disk", O_RDWR)};
    struct fdset_add add = {
        .set = 77, .lifetime = FDSET_KEEP, .members = &member, .member_count = 1};
    int socket = socket_find(), null = open("/dev/null", O_RDONLY), fd;
    struct fdset_event event;
    pthread_t thread;

    assert_int_equal(fdset_subscribe(manager, FDSET_EVENT_BIT(FDSET_EVENT_WANTED)), 0);
    setenv("FDSET_WAIT_MS", "3600000", 1);
    assert_int_equal(pthread_create(&thread, NULL, open_what_is_missing, &fd), 0);
    assert_int_equal(fdset_next_event(manager, &event, -1), 1);
    assert_int_equal(dup2(null, socket), socket);
    assert_int_equal(fdset_add_fds(manager, &add, 1), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    unsetenv("FDSET_WAIT_MS");
    assert_is_disk(fd);
    assert_true(is_null(socket));
    close(fd);
    close(socket);
    close(null);
    close(member.fd);
    assert_int_equal(fdset_remove(manager, 77, 0), 1);
    assert_connected();
}

/* ------------------------------------------------------------- other programs */

static pid_t start(const char *variable, const char *value, int inherited, const char *what,
                   const char *number) {
    pid_t child = fork();

    if (child == 0) {
        closefrom(3);
        unsetenv("FDSET_VMM_SOCKET");
        setenv(variable, value, 1);
        if (inherited) {
            struct sockaddr_un address = {.sun_family = AF_UNIX};
            int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
            strcpy(address.sun_path, vmm_path);
            if (connect(fd, (struct sockaddr *)&address, sizeof address) || fd != inherited)
                _exit(126);
        }
        execl(self, self, what, number, NULL);
        _exit(127);
    }
    return child;
}

static pid_t start_spawning(const char *what, const char *number) {
    pid_t child = fork();

    if (child == 0) {
        closefrom(3);
        unsetenv("FDSET_VMM_SOCKET");
        setenv("FDSET_ADD_FD", "fd=100,set=1", 1);
        if (dup2(file_open("disk", O_RDONLY), 100) != 100 || close_range(3, 99, 0))
            _exit(126);
        execl(self, self, what, number, NULL);
        _exit(127);
    }
    return child;
}

/* "first N" */
static int first(int number) {
    int fd = open(DISK, O_RDONLY), next = open("/dev/null", O_RDONLY);

    return fd == number && next == number + 1 && close(fd) == 0 && open(DISK, O_RDONLY) == fd ? 0
                                                                                              : 1;
}

static void test_the_lowest_number_is_the_programs(void **state) {
    assert_child_well(start("FDSET_VMM_SOCKET", vmm_path, 0, "first", "3"));
    assert_child_well(start("FDSET_VMM_FD", "3", 3, "first", "3"));
    assert_child_well(start_spawning("first", "3"));
    for (int i = 0; i < PATIENCE && totals().leases; i++)
        ;
}

/* "takes N" */
static int takes(int number) {
    int fd, low = open("/dev/null", O_RDONLY), null = fcntl(low, F_DUPFD, 500);

    close(low);
    for (int i = 0; i < 3; i++) {
        if (dup2(null, number) != number || !is_null(number))
            return 1;
        fd = open(DISK, O_RDONLY);
        if (fd < 0 || close(fd))
            return 2;
        if (!is_null(number) || close(number) || close(number) != -1)
            return 3;
    }
    return 0;
}

static void test_numbers_that_were_the_sockets(void **state) {
    assert_child_well(start("FDSET_VMM_FD", "3", 3, "takes", "3"));
    assert_child_well(start("FDSET_VMM_SOCKET", vmm_path, 0, "takes", "3"));
    assert_child_well(start("FDSET_VMM_SOCKET", vmm_path, 0, "takes", "896"));
    assert_child_well(start_spawning("takes", "3"));
}

/* "few": standard streams, the socket, one of the program's, and one that is free. */
static int few(void) {
    for (rlim_t count = 6; count < 40; count++) {
        struct rlimit limit = {count, count};
        pid_t child = fork();
        if (child == 0) {
            setrlimit(RLIMIT_NOFILE, &limit);
            int fd = open(DISK, O_RDONLY);
            if (fd != 3 || close(fd) || open(DISK, O_RDONLY) != 3)
                _exit(1);
            for (int number = 4; number < (int)count; number++) /* all but one are free */
                if (dup2(3, number) != number || close(number))
                    _exit(2);
            while (open("/dev/null", O_RDONLY) >= 0)
                ;
            /* None is free, so that none can be given way to. */
            for (int number = 4; number < (int)count; number++)
                if (dup2(3, number) != number && errno != EBUSY)
                    _exit(3);
            closefrom(3);
            _exit(open(DISK, O_RDONLY) == 3 ? 0 : 4);
        }
        int status;
        waitpid(child, &status, 0);
        if (status) {
            fprintf(stderr, "with %d: %#x\n", (int)count, (unsigned)status);
            return 1;
        }
    }
    return 0;
}

static void test_few_numbers(void **state) {
    assert_child_well(start("FDSET_VMM_SOCKET", vmm_path, 0, "few", NULL));
    for (int i = 0; i < PATIENCE && totals().leases; i++)
        ;
}

/* --------------------------------------------------------------------- shells */

static void test_shells(void **state) {
    static const char *const shells[] = {"dash", "bash", "zsh", "ksh", "busybox sh"};
    static const char *const scripts[] = {
        "exec 3<//dev/fdset/1; test \"$(head -c 9 <&3)\" = 'the disk!'",
        "exec 3<//dev/fdset/1 4<&3; exec 3<&-; test \"$(head -c 9 <&4)\" = 'the disk!'",
        "exec 7<//dev/fdset/1; exec 3</dev/null; exec 8<&7 7<&-; read -r line <&8; "
        "test \"$line\" = 'the disk!'",
        "read -r line <//dev/fdset/1; test \"$line\" = 'the disk!'",
        "while read -r line; do test \"$line\" = 'the disk!'; exit; done 3<//dev/fdset/3 "
        "<//dev/fdset/1",
    };
    char command[512];
    int disk_fd = file_open("disk", O_WRONLY);

    assert_int_equal(pwrite(disk_fd, "the disk!\n", 10, 0), 10);
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
        snprintf(command, sizeof command, "%s -c : >/dev/null 2>&1", shells[i]);
        if (system(command) != 0)
            continue; /* is not here */
        for (size_t j = 0; j < sizeof scripts / sizeof *scripts; j++) {
            setenv("SCRIPT", scripts[j], 1);
            snprintf(command, sizeof command, "exec %s -c \"$SCRIPT\"", shells[i]);
            if (system(command) != 0)
                fail_msg("%s: %s", shells[i], scripts[j]);
        }
    }
    assert_int_equal(system("python3 -c 'import os; a = os.open(\"//dev/fdset/1\", 0); "
                            "b = os.open(\"/dev/null\", 0)\n"
                            "for n in range(3, 1000):\n"
                            "  if n not in (a, b): assert os.dup2(b, n) == n; os.close(n)\n"
                            "os.dup2(a, 3); assert os.pread(3, 9, 0) == b\"the disk!\"; "
                            "os.close(os.open(\"//dev/fdset/1\", 0))'"),
                     0);
    assert_int_equal(pwrite(disk_fd, "\0\0\0\0\0\0\0\0\0", 10, 0), 10);
    close(disk_fd);
    for (int i = 0; i < PATIENCE && totals().leases; i++)
        ;
}

#define shim_test(function) cmocka_unit_test_teardown(function, no_leases)

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        shim_test(test_dup2_onto_the_socket),
        shim_test(test_dup2_that_fails),
        shim_test(test_dup2_above_the_limit),
        shim_test(test_close_range_unshared),
        shim_test(test_a_thread_that_waits_for_its_answer),
        shim_test(test_the_lowest_number_is_the_programs),
        shim_test(test_numbers_that_were_the_sockets),
        shim_test(test_few_numbers),
        shim_test(test_shells),
    };

    self = argv[0];
    if (argc > 2 && !strcmp(argv[1], "first"))
        return first(atoi(argv[2]));
    if (argc > 2 && !strcmp(argv[1], "takes"))
        return takes(atoi(argv[2]));
    if (argc > 1 && !strcmp(argv[1], "few"))
        return few();
    return cmocka_run_group_tests(tests, group_begin, group_end);
}

/* SPDX-License-Identifier: MIT */
/* libfdset-preload.so in more than one process: children, threads, and the ways in
 * which a program attaches.
 *
 *     shim-processes              the tests
 *     shim-processes opens        for the tests: opens a set, however it attaches
 *     shim-processes together     for the tests: opens set 3 in many threads at once
 *     shim-processes executed FD  for the tests: has inherited FD, a lease */
#include "shim-scene.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *self;

/* -------------------------------------------------------------- processes */

static void test_a_childs_close_is_not_the_parents(void **state) {
    int fd = open(DISK, O_RDWR);
    pid_t child = fork();

    if (child == 0) {
        close(fd);
        closefrom(3);
        _exit(0);
    }
    assert_child_well(child);
    assert_leases(1);
    assert_is_disk(fd);
    close(fd);
}

/* It has its parent's memory, but not its descriptors: a connection that it made would be the
 * parent's by a number that means something else there. In `child` there is none yet. */
static void test_a_vfork_child_makes_no_connection(void **state) {
    pid_t child = fork();

    if (child == 0) {
        pid_t grandchild = vfork();
        if (grandchild == 0)
            _exit(open(DISK, O_RDONLY) < 0 && errno == ESTALE ? 0 : 1);
        int status, fd;
        if (waitpid(grandchild, &status, 0) != grandchild || status)
            _exit(1);
        fd = open(DISK, O_RDONLY);
        _exit(fd < 0 ? 2 : close(fd) ? 3 : 0);
    }
    assert_child_well(child);
}

/* Of which no library hears (pthread_atfork(3)). */
static void test_a_child_of_the_system_call_alone(void **state) {
    int held = open(DISK, O_RDONLY);
    pid_t child = (pid_t)syscall(SYS_fork);

    if (child == 0) {
        int fd = open(DISK, O_RDONLY), other = open(DISK, O_RDONLY);
        _exit(fd < 0 || other < 0 || close(fd) || close(other) || close(held));
    }
    assert_child_well(child);
    assert_leases(1);
    close(held);
}

static void test_a_vfork_childs_close_is_not_the_parents(void **state) {
    int fd = open(DISK, O_RDWR), socket = socket_find();
    pid_t child = vfork();

    if (child == 0) {
        /* It has our memory. But the descriptors are its own, the socket's as well. */
        bool closes = close(fd) == 0 && close(socket) == 0;
        _exit(closes && open(DISK, O_RDONLY) == -1 && errno == ESTALE ? 0 : 1);
    }
    assert_child_well(child);
    assert_leases(1);
    close(fd);
}

static void test_a_child_attaches_for_itself(void **state) {
    int fd = open(DISK, O_RDONLY), go[2];

    assert_int_equal(pipe(go), 0);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int own = open(CDROM, O_RDONLY), second = open(CDROM, O_RDONLY);
        char byte = own >= 0 && second >= 0 && close(second) == 0;
        struct stat status;
        byte &= stat(DISK, &status) == 0 && status.st_ino == disk.st_ino;
        _exit(write(go[1], &byte, 1) == 1 && pause() ? 0 : 1);
    }
    char byte = 0;
    assert_int_equal(read(go[0], &byte, 1), 1);
    assert_int_equal(byte, 1);
    assert_leases(2);
    uint64_t hangups = totals().hangups;
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    /* The kernel hung up before the child could be waited for; the helper reads it soon. */
    for (int i = 0; i < PATIENCE && totals().hangups == hangups; i++)
        ;
    assert_leases(1);
    close(fd);
    close(go[0]);
    close(go[1]);
}

static void *open_and_close(void *unused) {
    for (int i = 0; i < 300; i++) {
        int fd = open(CDROM, O_RDONLY), copy = dup(fd);
        int other = open("/dev/null", O_RDONLY);
        if (fd < 0 || copy < 0 || close(fd) || close(other) || close(copy))
            return (void *)"failed";
    }
    return NULL;
}

static void test_threads(void **state) {
    pthread_t threads[4];
    void *result;

    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, open_and_close, NULL), 0);
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], &result);
        assert_null(result);
    }
    assert_leases(0);
}

/* ----------------------------------------------------------- ways to attach */

/* The label of the second member of set 1, as a manager sees it. */
static bool label_is(const char *label) {
    struct fdset_listing *listing;

    if (fdset_manager_connect(&manager, getenv("FDSET_SPAWN_MANAGE_SOCKET"), NULL) < 0 ||
        fdset_query(manager, 1, &listing) < 0)
        return false;
    const struct fdset_member_info *members = listing->sets[0].members;
    bool is_it = !members[0].opaque && !strcmp(members[1].opaque, label);
    fdset_listing_free(listing);
    fdset_manager_free(manager);
    return is_it;
}

/* "shim opens": closes whatever it can, as QEMU does, then opens set 1 twice. */
static int opens(void) {
    struct stat status;

    if (!getenv("FDSET_ADD_FD")) {
        for (int fd = 3; fd < 1024; fd++)
            close(fd);
        if (close_range(3, UINT_MAX, 0))
            return 2;
    }
    int fd = open(DISK, O_RDONLY);
    if (fd < 0)
        return errno;
    /* What it attached by and what it passed on is not left lying about. */
    if (fcntl(109, F_GETFD) >= 0 || fcntl(110, F_GETFD) >= 0)
        return 5;
    closefrom(3);
    fd = open(DISK, O_RDWR);
    if (fd < 0)
        return errno;
    if (fstat(fd, &status) || status.st_size != 8192)
        return 3;
    return getenv("FDSET_SPAWN_MANAGE_SOCKET") && !label_is("a,b") ? 4 : 0;
}

/* Runs "shim opens" with these in its environment, and with descriptors 109 and 110. */
static pid_t opens_start(const char *const *variables, int first, int second) {
    pid_t child = fork();

    if (child == 0) {
        unsetenv("FDSET_VMM_SOCKET");
        for (; *variables; variables++)
            putenv((char *)*variables);
        /* Above all that the test has, so that none is in the way. */
        if (first >= 0)
            dup2(first, 109);
        if (second >= 0)
            dup2(second, 110);
        execl(self, self, "opens", NULL);
        _exit(127);
    }
    return child;
}

static void test_attaches_to_an_inherited_socket(void **state) {
    const char *variables[] = {"FDSET_VMM_FD=109", NULL};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    strcpy(address.sun_path, vmm_path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_child_well(opens_start(variables, fd, -1));
    close(fd);
    /* It did not close them; they end as the helper reads the hang-up. */
    for (int i = 0; i < PATIENCE && totals().leases; i++)
        ;
    assert_leases(0);
}

static void test_says_that_it_inherited_no_socket(void **state) {
    const char *variables[] = {"FDSET_VMM_FD=109", NULL};
    int status, streams[2], null = open("/dev/null", O_WRONLY), saved = dup(STDERR_FILENO);

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, streams), 0);
    const int wrong[] = {-1, null, streams[0]};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        dup2(null, STDERR_FILENO);
        pid_t child = opens_start(variables, wrong[i], -1);
        dup2(saved, STDERR_FILENO);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(WEXITSTATUS(status), ENOTCONN);
    }
    close(streams[0]);
    close(streams[1]);
    close(saved);
    close(null);
}

static void test_spawns_a_helper(void **state) {
    char managing[128];
    const char *variables[] = {"FDSET_ADD_FD=fd=109,set=1 fd=110,set=1,opaque=a,b", managing, NULL};
    int read_only = file_open("disk", O_RDONLY), read_write = file_open("disk", O_RDWR);

    snprintf(managing, sizeof managing, "FDSET_SPAWN_MANAGE_SOCKET=%s/manage2", directory);
    assert_child_well(opens_start(variables, read_only, read_write));
    close(read_only);
    close(read_write);
}

/* Runs a program, and returns its status and what it says on standard error. */
static int says(const char *const *variables, const char *command, char *text, size_t size) {
    int said[2], status;

    assert_int_equal(pipe2(said, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        unsetenv("FDSET_VMM_SOCKET");
        for (; *variables; variables++)
            putenv((char *)*variables);
        dup2(said[1], STDERR_FILENO);
        execlp("sh", "sh", "-c", command, NULL);
        _exit(127);
    }
    close(said[1]);
    size_t length = 0;
    for (ssize_t got; (got = read(said[0], text + length, size - 1 - length)) > 0;)
        length += (size_t)got;
    text[length] = '\0';
    close(said[0]);
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
}

static int count(const char *text, const char *word) {
    int times = 0;

    for (; (text = strstr(text, word)); text++)
        times++;
    return times;
}

#define MANY_QUESTIONS                                 \
    "exec python3 -c 'import os\n"                     \
    "for i in range(5):\n"                             \
    "  assert not os.path.exists(\"//dev/fdset/1\")\n" \
    "  try: os.open(\"//dev/fdset/1\", 0)\n"           \
    "  except OSError as error: pass\n"                \
    "  else: raise SystemExit(9)'"

/* Who forgets to say which helper does not get one in the place of the one that fdsetctl
 * is to speak to. */
static void test_another_helpers_manage_socket_is_left_alone(void **state) {
    char managing[160], text[4096], path[128];
    const char *variables[] = {managing, NULL};
    struct stat before, after;

    snprintf(managing, sizeof managing, "FDSET_MANAGE_SOCKET=%s", manage_path);
    assert_int_equal(stat(manage_path, &before), 0);
    assert_int_equal(says(variables, MANY_QUESTIONS, text, sizeof text), 0);
    assert_int_equal(count(text, "no helper is named"), 1);
    assert_int_equal(count(text, "\n"), 1);
    assert_int_equal(stat(manage_path, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);

    /* Nor where none listens yet. */
    snprintf(path, sizeof path, "%s/later", directory);
    snprintf(managing, sizeof managing, "FDSET_MANAGE_SOCKET=%s", path);
    assert_int_equal(says(variables, MANY_QUESTIONS, text, sizeof text), 0);
    assert_int_equal(access(path, F_OK), -1);
}

/* What keeps it from attaching is told once. */
static void test_what_fails_is_told_once(void **state) {
    char taken[128], text[4096];
    const char *spawns[] = {taken, NULL};
    const char *by_path[] = {"FDSET_VMM_SOCKET=/nowhere/vmm", NULL};
    const char *by_number[] = {"FDSET_VMM_FD=77", NULL};
    const char *wrong[] = {"FDSET_ADD_FD=fd=3", NULL};

    snprintf(taken, sizeof taken, "FDSET_SPAWN_MANAGE_SOCKET=%s", manage_path);
    assert_int_equal(says(spawns, MANY_QUESTIONS, text, sizeof text), 0);
    assert_int_equal(count(text, "fdset-helper: "), 1); /* in its own words */
    assert_int_equal(count(text, "libfdset-preload: "), 1);
    assert_int_equal(says(by_path, MANY_QUESTIONS, text, sizeof text), 0);
    assert_int_equal(count(text, "cannot connect to /nowhere/vmm"), 1);
    assert_int_equal(says(by_number, MANY_QUESTIONS, text, sizeof text), 0);
    assert_int_equal(count(text, "is not a socket to fdset-helper"), 1);
    assert_int_equal(says(wrong, MANY_QUESTIONS, text, sizeof text), 0);
    assert_int_equal(count(text, "FDSET_ADD_FD: 'fd=3' is not"), 1);
    assert_int_equal(count(text, "\n"), 1);
}

/* Several programs on one helper are told apart by their names. */
static void test_is_called_as_it_is_told_to(void **state) {
    struct fdset_event event;

    assert_int_equal(fdset_subscribe(manager, FDSET_EVENT_BIT(FDSET_EVENT_VMM_CONNECTED)), 0);
    pid_t child = fork();
    if (child == 0) {
        setenv("FDSET_NAME", "web server 7", 1);
        execl(self, self, "opens", NULL);
        _exit(127);
    }
    assert_int_equal(fdset_next_event(manager, &event, -1), 1);
    assert_string_equal(event.name, "web server 7");
    assert_int_equal(event.pid, child);
    assert_child_well(child);
    for (int i = 0; i < PATIENCE && totals().leases; i++)
        ;
}

/* Of what is open something is known without a helper. */
static void test_questions_after_the_helpers_end(void **state) {
    const char *variables[] = {"FDSET_ADD_FD=fd=7,set=1", NULL};
    char text[4096], command[1024];

    close(file_open("disk", O_RDONLY));
    snprintf(command, sizeof command,
             "exec python3 -c 'import errno, os, signal\n"
             "fd = os.open(\"//dev/fdset/1\", 0)\n"
             "(helper,) = open(f\"/proc/self/task/{os.getpid()}/children\").read().split()\n"
             "os.kill(int(helper), signal.SIGKILL); os.waitpid(int(helper), 0)\n"
             "assert os.stat(\"//dev/fdset/1\").st_ino == os.fstat(fd).st_ino\n"
             "assert os.access(\"//dev/fdset/1\", os.R_OK)\n"
             "assert not os.access(\"//dev/fdset/1\", os.W_OK)\n"
             "try: os.stat(\"//dev/fdset/2\")\n"
             "except OSError as error: assert error.errno == errno.ECONNRESET, error\n"
             "else: raise SystemExit(9)' 7<%s/disk",
             directory);
    if (says(variables, command, text, sizeof text) != 0)
        fail_msg("%s", text);
}

/* ---------------------------------------------------------------- threads */

enum { THREADS = 8 };

static void *open_at_once(void *barrier) {
    pthread_barrier_wait(barrier);
    int fd = open(CDROM, O_RDONLY);
    return fd >= 0 && close(fd) == 0 ? barrier : NULL;
}

/* "shim-processes together": none of them has attached before. */
static int together(void) {
    pthread_t threads[THREADS];
    pthread_barrier_t barrier;
    int failed = 0;

    pthread_barrier_init(&barrier, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, open_at_once, &barrier))
            return 3;
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        failed += result == NULL;
    }
    return failed;
}

static void test_threads_attach_once(void **state) {
    struct fdset_totals before = totals();

    assert_child_well(run_again("LANG", "C", "together", NULL));
    struct fdset_totals now = totals();
    assert_int_equal(now.opens, before.opens + THREADS);
    assert_int_equal(now.closes, before.closes + THREADS);
    assert_int_equal(now.accepted, before.accepted + 1);
}

/* ------------------------------------------------------------------- exec */

/* As in a program that one has started which was given the socket by number. */
static void test_the_path_serves_where_the_socket_is_gone(void **state) {
    assert_int_equal(fcntl(900, F_GETFD), -1);
    assert_child_well(run_again("FDSET_VMM_FD", "900", "opens", NULL));
}

/* "shim-processes executed FD": what was a lease before is just a descriptor now. */
static int executed(const char *number) {
    int fd = atoi(number);
    char byte;

    if (pread(fd, &byte, 1, 0) != 1 || close(fd))
        return 1;
    int again = open(DISK, O_RDWR); /* exclusive: so the other has ended */
    return again >= 0 && close(again) == 0 ? 0 : 2;
}

static void test_exec_ends_a_lease(void **state) {
    struct fdset_totals before = totals();
    pid_t child = fork();

    if (child == 0) {
        int fd = open(DISK, O_RDWR);
        char number[16];
        snprintf(number, sizeof number, "%d", fd);
        execl("/proc/self/exe", "shim-processes", "executed", number, NULL);
        _exit(127);
    }
    assert_child_well(child);
    struct fdset_totals now = totals();
    assert_int_equal(now.opens, before.opens + 2);
    assert_int_equal(now.closes, before.closes + 1);
    assert_int_equal(now.hangups, before.hangups + 1);
}

#define shim_test(function) cmocka_unit_test_teardown(function, no_leases)

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        shim_test(test_a_childs_close_is_not_the_parents),
        shim_test(test_a_vfork_childs_close_is_not_the_parents),
        shim_test(test_a_vfork_child_makes_no_connection),
        shim_test(test_a_child_of_the_system_call_alone),
        shim_test(test_a_child_attaches_for_itself),
        shim_test(test_threads),
        shim_test(test_attaches_to_an_inherited_socket),
        shim_test(test_says_that_it_inherited_no_socket),
        shim_test(test_spawns_a_helper),
        shim_test(test_another_helpers_manage_socket_is_left_alone),
        shim_test(test_what_fails_is_told_once),
        shim_test(test_is_called_as_it_is_told_to),
        shim_test(test_questions_after_the_helpers_end),
        shim_test(test_threads_attach_once),
        shim_test(test_the_path_serves_where_the_socket_is_gone),
        shim_test(test_exec_ends_a_lease),
    };

    self = argv[0];
    if (argc > 1 && !strcmp(argv[1], "together"))
        return together();
    if (argc > 2 && !strcmp(argv[1], "executed"))
        return executed(argv[2]);
    if (argc > 1)
        return opens();
    return cmocka_run_group_tests(tests, group_begin, group_end);
}

/* The state of a process after lock-down, looked at from inside (between the
 * two halves, where everything but seccomp has to hold alone) and from outside
 * (through /proc, by root). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/magic.h>

#include "cage.h"

/* ------------------------------------------------------- inside the process */

static void *settle_thread(void *argument) {
    int socket = *(int *)argument;
    char byte = 0;
    struct iovec vector = {&byte, 1};
    struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1};

    /* The first tells that libc has begun this thread, the second never comes. */
    sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
    return NULL;
}

static bool byte_send(int socket) {
    char byte = 0;
    struct iovec vector = {&byte, 1};
    struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1};
    return sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL) == 1;
}

/* As the helper: a settle thread between the halves, then it waits for ever. */
static int wait_sealed(struct cage *cage) {
    const gid_t groups[] = {7, 8};
    int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDWR);
    struct epoll_event events[CONFINE_EPOLL_EVENTS];
    pthread_t thread;
    char byte;

    /* What must be gone afterwards: strays, groups, what standard streams were. */
    dup2(null, STDERR_FILENO);
    dup2(zero, STDIN_FILENO);
    dup2(zero, STDOUT_FILENO);
    dup2(null, 77);
    dup2(null, 200);
    if (open("/", O_RDONLY | O_DIRECTORY) < 0 || (geteuid() == 0 && setgroups(2, groups) < 0))
        return 1;
    CAGE_CHECK(confine_enter(&cage->plan, &cage->report) == 0);
    CAGE_CHECK(pthread_create(&thread, NULL, settle_thread, &cage->settle[1]) == 0);
    CAGE_CHECK(recv(cage->settle[0], &byte, 1, 0) == 1);
    CAGE_CHECK(confine_seal(&cage->plan, &cage->report) == 0);
    CAGE_CHECK(byte_send(cage->control));
    for (;;)
        epoll_pwait(cage->plan.epoll, events, CONFINE_EPOLL_EVENTS, -1, NULL);
}

/* ------------------------------------------------------------- from outside */

static pid_t subject;
static enum starter subject_starter;
static int subject_control = -1;

static const char *subject_path(const char *name) {
    static char path[128];
    snprintf(path, sizeof(path), "/proc/%d/%s", subject, name);
    return path;
}

/* A line "name: value" of a file; the value without leading blanks. */
static const char *line_find(const char *path, const char *name) {
    static char line[512];
    FILE *file = fopen(path, "r");
    bool found = false;

    assert_non_null(file);
    while (!found && fgets(line, sizeof(line), file))
        found = !strncmp(line, name, strlen(name));
    fclose(file);
    if (!found)
        fail_msg("no %s in %s", name, path);
    line[strcspn(line, "\n")] = '\0';
    return line + strlen(name) + strspn(line + strlen(name), ":\t ");
}

static void thread_check(const char *status) {
    static const char *const sets[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};

    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
        assert_string_equal(line_find(status, sets[i]), "0000000000000000");
    assert_string_equal(line_find(status, "NoNewPrivs"), "1");
    assert_string_equal(line_find(status, "Seccomp:"), "2");
    assert_string_equal(line_find(status, "Uid"), "4242\t4242\t4242\t4242");
    assert_string_equal(line_find(status, "Gid"), "4242\t4242\t4242\t4242");
    assert_string_equal(line_find(status, "Groups"), "");
}

/* Of the settle thread as of the main one. */
static void check_privileges(void) {
    DIR *tasks = opendir(subject_path("task"));
    int count = 0;

    assert_non_null(tasks);
    for (struct dirent *entry; (entry = readdir(tasks));) {
        char status[300];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(status, sizeof(status), "/proc/%d/task/%s/status", subject, entry->d_name);
        thread_check(status);
        count++;
    }
    closedir(tasks);
    assert_int_equal(count, 2);
}

static void check_limits(void) {
    const char *limits = subject_path("limits");
    unsigned soft, hard;

    static const struct {
        const char *name;
        unsigned value;
    } wanted[] = {{"Max core file size", 0},
                  {"Max file size", 0},
                  {"Max processes", 0},
                  {"Max open files", CAGE_DESCRIPTORS}};
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        assert_int_equal(sscanf(line_find(limits, wanted[i].name), "%u %u", &soft, &hard), 2);
        assert_int_equal(soft, wanted[i].value);
        assert_int_equal(hard, wanted[i].value);
    }
}

/* 0 to 2, epoll, the settle pair, the control socket: seven, and no more. */
static void check_descriptors(void) {
    DIR *directory = opendir(subject_path("fd"));
    int count = 0;

    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory));) {
        char target[100] = "";
        if (entry->d_name[0] == '.')
            continue;
        count++;
        assert_true(readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1) > 0);
        if (atoi(entry->d_name) <= 2)
            assert_string_equal(target, "/dev/null");
        else
            assert_true(!strncmp(target, "socket:", 7) ||
                        !strcmp(target, "anon_inode:[eventpoll]"));
    }
    closedir(directory);
    assert_int_equal(count, 7);
}

static void check_root(void) {
    DIR *root = opendir(subject_path("root"));
    struct stat at_root, at_cwd;
    struct statfs file_system;
    FILE *mounts;
    char line[512];
    int count = 0;

    assert_non_null(root);
    while (readdir(root))
        count++;
    assert_int_equal(count, 2); /* "." and ".." */
    assert_int_equal(fstatfs(dirfd(root), &file_system), 0);
    assert_int_equal(file_system.f_type, TMPFS_MAGIC);
    assert_int_equal(fstat(dirfd(root), &at_root), 0);
    assert_int_equal(at_root.st_mode & 07777, 0);
    assert_int_equal(mkdirat(dirfd(root), "x", 0700), -1);
    assert_int_equal(errno, EROFS); /* not even for us */
    closedir(root);
    assert_int_equal(stat(subject_path("cwd"), &at_cwd), 0);
    assert_int_equal(at_cwd.st_dev, at_root.st_dev);
    assert_int_equal(at_cwd.st_ino, at_root.st_ino);
    assert_non_null(mounts = fopen(subject_path("mountinfo"), "r"));
    for (count = 0; fgets(line, sizeof(line), mounts); count++)
        assert_non_null(strstr(line, " / / ro,nosuid,nodev,noexec"));
    fclose(mounts);
    assert_int_equal(count, 1);
}

static bool namespace_shared(const char *kind) {
    char own[100], name[20];
    struct stat ours, theirs;

    snprintf(own, sizeof(own), "/proc/self/ns/%s", kind);
    snprintf(name, sizeof(name), "ns/%s", kind);
    assert_int_equal(stat(own, &ours), 0);
    assert_int_equal(stat(subject_path(name), &theirs), 0);
    return ours.st_ino == theirs.st_ino;
}

static void check_namespaces(void) {
    assert_false(namespace_shared("mnt"));
    assert_false(namespace_shared("net"));
    assert_false(namespace_shared("ipc"));
    assert_false(namespace_shared("uts"));
    assert_false(namespace_shared("cgroup"));
    /* These two on purpose: SO_PEERCRED. */
    assert_true(namespace_shared("pid"));
    assert_int_equal(namespace_shared("user"), subject_starter == AS_ROOT);
}

/* Runs in a child of its own, which does not come back from that namespace. */
static int network_look(const char *path) {
    struct ifreq request = {.ifr_name = "lo"};
    struct if_nameindex *all;
    int network = open(path, O_RDONLY), socket_fd;

    if (network < 0 || setns(network, CLONE_NEWNET) < 0)
        return 2;
    all = if_nameindex();
    if (!all || !all[0].if_name || strcmp(all[0].if_name, "lo") != 0 || all[1].if_name)
        return 3;
    socket_fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (socket_fd < 0 || ioctl(socket_fd, SIOCGIFFLAGS, &request) < 0)
        return 4;
    return request.ifr_flags & IFF_UP ? 5 : 0;
}

static void check_network(void) {
    const char *path = subject_path("ns/net");
    pid_t child = fork();
    int status;

    if (child == 0)
        cage_exit(network_look(path));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* Nothing writable and executable; what is pinned lies in read-only memory. The
 * process is our fork, so its addresses are ours. */
static void check_memory(void) {
    const uintptr_t pinned[] = {(uintptr_t)cage_empty_path, (uintptr_t)&cage_unlock_all};
    FILE *maps = fopen(subject_path("maps"), "r");
    unsigned long start, end;
    char line[512], mode[8];
    int found = 0;

    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps)) {
        assert_int_equal(sscanf(line, "%lx-%lx %7s", &start, &end, mode), 3);
        assert_false(strchr(mode, 'w') && strchr(mode, 'x'));
        for (int i = 0; i < 2; i++)
            if (pinned[i] >= start && pinned[i] < end) {
                assert_int_equal(mode[1], '-');
                found++;
            }
    }
    fclose(maps);
    assert_int_equal(found, 2);
}

/* Tried by a process of that uid: what it gets as errno. */
static int hostility_run(uid_t uid, int (*attempt)(void)) {
    pid_t child = fork();
    int status;

    if (child == 0) {
        if (setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
            cage_exit(255);
        cage_exit(attempt() < 0 ? errno : 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int attempt_trace(void) {
    return ptrace(PTRACE_SEIZE, subject, 0, 0);
}

static int attempt_memory(void) {
    return open(subject_path("mem"), O_RDWR);
}

static int attempt_descriptors(void) {
    return open(subject_path("fd"), O_RDONLY);
}

static int attempt_steal(void) {
    int pidfd = syscall(SYS_pidfd_open, subject, 0);
    return pidfd < 0 ? -1 : syscall(SYS_pidfd_getfd, pidfd, 0, 0);
}

static int attempt_signal(void) {
    return kill(subject, SIGTERM);
}

static void check_strangers(void) {
    /* A VMM of its own uid, and one of the helper's. */
    static const uid_t uids[] = {CAGE_UID + 1, CAGE_UID};

    for (int i = 0; i < 2; i++) {
        assert_int_equal(hostility_run(uids[i], attempt_trace), EPERM);
        assert_int_equal(hostility_run(uids[i], attempt_memory), EACCES);
        assert_int_equal(hostility_run(uids[i], attempt_descriptors), EACCES);
        assert_int_equal(hostility_run(uids[i], attempt_steal), EPERM);
    }
    assert_int_equal(hostility_run(CAGE_UID + 1, attempt_signal), EPERM);
}

/* ------------------------------------------------------------------- tests */

#define SUBJECT_TEST(check)                                       \
    static void test_##check(void **state) {                      \
        if (subject <= 0)                                         \
            skip(); /* only root can start it and look into it */ \
        check();                                                  \
    }

SUBJECT_TEST(check_privileges)
SUBJECT_TEST(check_limits)
SUBJECT_TEST(check_descriptors)
SUBJECT_TEST(check_root)
SUBJECT_TEST(check_namespaces)
SUBJECT_TEST(check_network)
SUBJECT_TEST(check_memory)
SUBJECT_TEST(check_strangers)

static int subject_start(void **state) {
    char byte;

    if (geteuid() != 0)
        return 0;
    subject = cage_start(subject_starter, &subject_control, wait_sealed);
    return recv(subject_control, &byte, 1, 0) == 1 ? 0 : -1;
}

static int subject_end(void **state) {
    if (subject > 0) {
        kill(subject, SIGKILL);
        waitpid(subject, NULL, 0);
        close(subject_control);
    }
    return 0;
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check_privileges),  cmocka_unit_test(test_check_limits),
        cmocka_unit_test(test_check_descriptors), cmocka_unit_test(test_check_root),
        cmocka_unit_test(test_check_namespaces),  cmocka_unit_test(test_check_network),
        cmocka_unit_test(test_check_memory),      cmocka_unit_test(test_check_strangers),
    };

    subject_starter = argc > 1 && !strcmp(argv[1], "user") ? AS_USER : AS_ROOT;
    return cmocka_run_group_tests(tests, subject_start, subject_end);
}

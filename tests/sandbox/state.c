/* SPDX-License-Identifier: MIT */
/* The state of the real helper after lock-down, looked at from outside: through
 * /proc by root, and by its own answer to a Query. Started by each who may. */
#include "subject.h"

#include <dirent.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/magic.h>

#include "confine/stage.h"
#include "settle/settle.h"
#include "start/options.h"

#ifndef PR_GET_MDWE
#define PR_GET_MDWE 66
#endif

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *starter;

/* -------------------------------------------------------------- its own word */

/* The stages that a starter's own confinement takes something from. */
static bool is_expected_whole(const char *stage) {
    bool privileged = !strcmp(starter, "root") || !strcmp(starter, "user");
    bool by_user = strcmp(starter, "root") != 0 && strcmp(starter, "container") != 0;

    if (!strcmp(stage, "mdwe"))
        return prctl(PR_GET_MDWE, 0, 0, 0, 0) >= 0; /* Linux 6.3 */
    if (!strcmp(stage, "mseal"))
        return syscall(CALL_MSEAL, NULL, 0, 0) == 0; /* Linux 6.10 */
    if (!strcmp(stage, "namespaces") || !strcmp(stage, "root"))
        return privileged;
    /* The bounding set stays where there was no CAP_SETPCAP, not even in a
     * user namespace. */
    return strcmp(stage, "capabilities") != 0 || privileged || !by_user;
}

static void check_stages(void) {
    static const char *const names[] = {"descriptors", "namespaces", "root",         "capabilities",
                                        "ids",         "undumpable", "no-new-privs", "landlock",
                                        "mdwe",        "mseal",      "limits",       "seccomp"};

    assert_int_equal(subject.stage_count, COUNT(names));
    for (size_t i = 0; i < COUNT(names); i++) {
        print_message("# %-13s %-6s %s\n", names[i], subject.stages[i].whole ? "whole" : "partly",
                      subject.stages[i].detail);
        assert_string_equal(subject.stages[i].name, names[i]);
        assert_int_equal(subject.stages[i].whole, is_expected_whole(names[i]));
        assert_true(subject.stages[i].whole || strlen(subject.stages[i].detail) > 10);
    }
}

/* The ready line says the same. */
static void check_ready_line(void) {
    char wanted[sizeof(subject.ready)] = "fdset-helper: ready:";
    size_t used = strlen(wanted);

    for (size_t i = 0; i < subject.stage_count; i++) {
        bool bare = subject.stages[i].whole && !subject.stages[i].detail[0];
        used += snprintf(wanted + used, sizeof(wanted) - used, " %s%s%s%s%s",
                         subject.stages[i].name, bare ? "" : "(",
                         subject.stages[i].whole ? "" : "partly: ", subject.stages[i].detail,
                         bare ? "" : ")");
    }
    assert_int_equal(strcspn(subject.ready, "\n"), used);
    assert_memory_equal(subject.ready, wanted, used);
}

/* --------------------------------------------------------------- its threads */

static void thread_check(const char *status) {
    static const char *const sets[] = {"CapInh", "CapPrm", "CapEff", "CapAmb"};
    char ids[60];

    for (size_t i = 0; i < COUNT(sets); i++)
        assert_string_equal(subject_line(status, sets[i]), "0000000000000000");
    if (subject_holds("capabilities"))
        assert_string_equal(subject_line(status, "CapBnd"), "0000000000000000");
    assert_string_equal(subject_line(status, "NoNewPrivs"), "1");
    assert_string_equal(subject_line(status, "Seccomp:"), "2");
    snprintf(ids, sizeof(ids), "%u\t%u\t%u\t%u", subject.uid, subject.uid, subject.uid,
             subject.uid);
    assert_string_equal(subject_line(status, "Uid"), ids);
    if (geteuid() != 0)
        return; /* the groups are those of whoever runs this */
    assert_string_equal(subject_line(status, "Gid"), ids);
    assert_string_equal(subject_line(status, "Groups"), "");
}

/* Of the settle threads as of the main one. */
static void check_privileges(void) {
    DIR *tasks = opendir(subject_path("task"));
    int count = 0;

    assert_non_null(tasks);
    for (struct dirent *entry; (entry = readdir(tasks));) {
        char status[300];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(status, sizeof(status), "/proc/%d/task/%s/status", subject.pid, entry->d_name);
        thread_check(status);
        count++;
    }
    closedir(tasks);
    assert_int_equal(count, 1 + SETTLE_THREADS);
}

static void check_limits(void) {
    const char *limits = subject_path("limits");
    unsigned descriptors, soft, hard;
    struct rlimit starter_may;

    /* As high as who starts it may have it, which is as many as may be in flight. */
    assert_int_equal(sscanf(subject_detail("limits"), "%u", &descriptors), 1);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &starter_may), 0);
    assert_int_equal(descriptors, starter_may.rlim_max);
    const struct {
        const char *name;
        unsigned value;
    } wanted[] = {{"Max core file size", 0},
                  {"Max file size", 0},
                  {"Max processes", 0},
                  {"Max open files", descriptors}};
    for (size_t i = 0; i < COUNT(wanted); i++) {
        assert_int_equal(sscanf(subject_line(limits, wanted[i].name), "%u %u", &soft, &hard), 2);
        assert_int_equal(soft, wanted[i].value);
        assert_int_equal(hard, wanted[i].value);
    }
}

/* ----------------------------------------------------------- what it can reach */

enum kind { STANDARD, EPOLL, SIGNALS, SOCKET, DISK, OTHER, KINDS };

static enum kind kind_of(int number, const char *target, const struct stat *file) {
    struct stat disk;

    assert_int_equal(fstat(subject.disk, &disk), 0);
    if (number <= STDERR_FILENO) {
        /* The confined starter can open no /dev/null. */
        assert_string_equal(target, number == STDERR_FILENO || !strcmp(starter, "confined")
                                        ? subject.error
                                        : "/dev/null");
        return STANDARD;
    }
    return !strcmp(target, "anon_inode:[eventpoll]")                    ? EPOLL
           : !strcmp(target, "anon_inode:[signalfd]")                   ? SIGNALS
           : S_ISSOCK(file->st_mode)                                    ? SOCKET
           : file->st_ino == disk.st_ino && file->st_dev == disk.st_dev ? DISK
                                                                        : OTHER;
}

/* Neither the two directories that it was given nor what it needed to start. */
static void check_descriptors(void) {
    DIR *directory = opendir(subject_path("fd"));
    int counts[KINDS] = {0};

    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory));) {
        char target[100] = "";
        struct stat file;
        if (entry->d_name[0] == '.')
            continue;
        assert_true(readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1) > 0);
        assert_int_equal(fstatat(dirfd(directory), entry->d_name, &file, 0), 0);
        counts[kind_of(atoi(entry->d_name), target, &file)]++;
    }
    closedir(directory);
    assert_int_equal(counts[STANDARD], 3);
    assert_int_equal(counts[EPOLL], 1);
    assert_int_equal(counts[SIGNALS], 1);
    assert_int_equal(counts[DISK], 1);
    /* Both ends for each settle thread; three to listen at, three connections. */
    assert_int_equal(counts[SOCKET], 2 * SETTLE_THREADS + 3 + 3);
    assert_int_equal(counts[OTHER], 0);
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
    static const char *const own[] = {"mnt", "net", "ipc", "uts", "cgroup"};

    for (size_t i = 0; i < COUNT(own); i++)
        assert_int_equal(namespace_shared(own[i]), !subject_holds("namespaces"));
    /* These two on purpose: SO_PEERCRED. */
    assert_true(namespace_shared("pid"));
    assert_int_equal(namespace_shared("user"), strcmp(starter, "user") != 0);
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
        _exit(network_look(path));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* ---------------------------------------------------------------- its memory */

/* Where the program's file says that its symbol is. */
static unsigned long symbol_find(const char *name) {
    char command[100], line[300], found[200];
    unsigned long address = 0;

    snprintf(command, sizeof(command), "nm %s", subject_path("exe"));
    FILE *symbols = popen(command, "re");
    assert_non_null(symbols);
    while (fgets(line, sizeof(line), symbols))
        if (sscanf(line, "%lx %*c %199s", &address, found) == 2 && !strcmp(found, name))
            break;
    pclose(symbols);
    assert_string_equal(found, name);
    return address;
}

/* Of a mapping, a line of what smaps says below its head. */
static void check_seal(const char *line, const char *mode, const char *file) {
    if (file[0] == '/' && !strchr(mode, 'w') && strncmp(line, "VmFlags:", 8) == 0)
        assert_non_null(strstr(line, " sl"));
}

/* Nothing writable and executable; what statx and F_OFD_SETLK are held to lies
 * in read-only memory, and that, with all code, stays so. */
static void check_memory(void) {
    unsigned long pinned[] = {symbol_find("open_file_empty_path"),
                              symbol_find("open_file_unlock_all")};
    unsigned long start, end, base = 0;
    FILE *maps = fopen(subject_path("smaps"), "re");
    bool has_seals = subject_holds("mseal");
    char line[512], mode[8] = "", name[200] = "";
    int found = 0;

    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps)) {
        if (sscanf(line, "%lx-%lx %7s", &start, &end, mode) != 3) {
            if (has_seals)
                check_seal(line, mode, name);
            continue;
        }
        if (sscanf(line, "%*s %*s %*s %*s %*s %199s", name) != 1)
            name[0] = '\0';
        assert_false(strchr(mode, 'w') && strchr(mode, 'x'));
        /* The program comes first, and the symbols of one that can lie anywhere
         * count from there. */
        if (!base)
            base = start;
        for (size_t i = 0; i < COUNT(pinned); i++) {
            unsigned long address = pinned[i] < base ? base + pinned[i] : pinned[i];
            if (address >= start && address < end) {
                assert_string_equal(mode, "r--p");
                found++;
            }
        }
    }
    fclose(maps);
    assert_int_equal(found, COUNT(pinned));
}

/* ---------------------------------------------------------------- strangers */

/* Tried by a process of that uid: what it gets as errno. */
static int hostility_run(uid_t uid, int (*attempt)(void)) {
    pid_t child = fork();
    int status;

    if (child == 0) {
        if (setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
            _exit(255);
        _exit(attempt() < 0 ? errno : 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int attempt_trace(void) {
    return ptrace(PTRACE_SEIZE, subject.pid, 0, 0);
}

static int attempt_memory(void) {
    return open(subject_path("mem"), O_RDWR);
}

static int attempt_descriptors(void) {
    return open(subject_path("fd"), O_RDONLY);
}

static int attempt_steal(void) {
    int pidfd = syscall(SYS_pidfd_open, subject.pid, 0);
    return pidfd < 0 ? -1 : syscall(SYS_pidfd_getfd, pidfd, 0, 0);
}

static int attempt_signal(void) {
    return kill(subject.pid, SIGTERM);
}

/* Whom the kernel takes for the helper's owner: not its user. */
static void check_owner(void) {
    struct stat memory;

    assert_int_equal(stat(subject_path("mem"), &memory), 0);
    assert_int_equal(memory.st_uid, 0);
}

static void check_strangers(void) {
    /* A VMM of its own uid, and one of the helper's. */
    const uid_t uids[] = {subject.uid + 1, subject.uid};

    for (int i = 0; i < 2; i++) {
        assert_int_equal(hostility_run(uids[i], attempt_trace), EPERM);
        assert_int_equal(hostility_run(uids[i], attempt_memory), EACCES);
        assert_int_equal(hostility_run(uids[i], attempt_descriptors), EACCES);
        assert_int_equal(hostility_run(uids[i], attempt_steal), EPERM);
    }
    assert_int_equal(hostility_run(subject.uid + 1, attempt_signal), EPERM);
}

/* ------------------------------------------------------------------- tests */

enum needs { ANYBODY, ROOT, NAMESPACES };

static void run_check(enum needs needs, void (*check)(void)) {
    if (subject.pid == 0 || (needs != ANYBODY && geteuid() != 0))
        skip();
    if (needs == NAMESPACES && !subject_holds("root"))
        assert_false(is_expected_whole("root"));
    else
        check();
}

#define SUBJECT_TEST(check, needs)           \
    static void test_##check(void **state) { \
        run_check(needs, check);             \
    }

SUBJECT_TEST(check_stages, ANYBODY)
SUBJECT_TEST(check_ready_line, ANYBODY)
SUBJECT_TEST(check_privileges, ANYBODY)
SUBJECT_TEST(check_limits, ANYBODY)
SUBJECT_TEST(check_descriptors, ROOT)
SUBJECT_TEST(check_namespaces, ROOT)
SUBJECT_TEST(check_root, NAMESPACES)
SUBJECT_TEST(check_network, NAMESPACES)
SUBJECT_TEST(check_memory, ROOT)
SUBJECT_TEST(check_owner, ANYBODY)
SUBJECT_TEST(check_strangers, ROOT)

static int group_start(void **state) {
    *state = (void *)starter;
    return subject_start(state);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check_stages),      cmocka_unit_test(test_check_ready_line),
        cmocka_unit_test(test_check_privileges),  cmocka_unit_test(test_check_limits),
        cmocka_unit_test(test_check_descriptors), cmocka_unit_test(test_check_namespaces),
        cmocka_unit_test(test_check_root),        cmocka_unit_test(test_check_network),
        cmocka_unit_test(test_check_memory),      cmocka_unit_test(test_check_owner),
        cmocka_unit_test(test_check_strangers),
    };

    starter = argc > 1 ? argv[1] : geteuid() == 0 ? "root" : "user";
    return cmocka_run_group_tests_name(starter, tests, group_start, subject_end);
}

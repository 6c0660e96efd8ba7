/* SPDX-License-Identifier: MIT */
/* Starts the helper, ends it, and puts away what a test has made: see harness.h. */
#include "harness.h"

#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_ARGUMENTS   64
#define MAX_DESCRIPTORS 4096
#define HANG_MS         20000

static struct helper the_helper;
static char directory[64];
static bool kept[MAX_DESCRIPTORS];

/* -------------------------------------------------------- files of a test */

int harness_keep(int fd) {
    assert_true(fd >= 0);
    assert_true(fd < MAX_DESCRIPTORS);
    kept[fd] = true;
    return fd;
}

void harness_close(int fd) {
    assert_true(kept[fd]);
    kept[fd] = false;
    close(fd);
}

const char *file_path(const char *name) {
    static char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

int file_open(const char *name, int flags) {
    int fd = open(file_path(name), flags | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        fail_msg("%s: %s", file_path(name), strerror(errno));
    return harness_keep(fd);
}

bool same_description(int one, int other) {
    static off_t mark = 1000;
    mark++;
    return lseek(one, mark, SEEK_SET) == mark && lseek(other, 0, SEEK_CUR) == mark;
}

#define STATUS_FLAGS \
    (O_ACCMODE | O_APPEND | O_DIRECT | O_DSYNC | O_NOATIME | O_NONBLOCK | O_PATH | O_SYNC)

void assert_serves(int fd, int original, int flags) {
    struct stat got, added;
    if (fd < 0)
        fail_msg("not opened: %s", client_last_refusal);
    assert_int_equal(fstat(fd, &got), 0);
    assert_int_equal(fstat(original, &added), 0);
    assert_int_equal(got.st_dev, added.st_dev);
    assert_int_equal(got.st_ino, added.st_ino);
    assert_int_equal(fcntl(fd, F_GETFL) & STATUS_FLAGS, flags);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_true(same_description(fd, original));
}

/* --------------------------------------------------------------- starting */

const char *helper_socket_path(int role) {
    return file_path(role == ROLE(VMM)       ? "vmm.sock"
                     : role == ROLE(MANAGER) ? "manage.sock"
                                             : "observe.sock");
}

/* The program and what it is run under, then what follows. */
static void command_line(char **argv, const char *const *first, const char *const *second) {
    static char wrapper[512];
    const char *program = getenv("FDSET_TEST_HELPER");
    size_t count = 0;
    if (!program)
        fail_msg("FDSET_TEST_HELPER is not set: run this by tests/run or meson test");
    snprintf(wrapper, sizeof(wrapper), "%s",
             getenv("FDSET_TEST_WRAPPER") ? getenv("FDSET_TEST_WRAPPER") : "");
    for (char *word = strtok(wrapper, " "); word; word = strtok(NULL, " "))
        argv[count++] = word;
    argv[count++] = (char *)program;
    for (; first && *first; first++)
        argv[count++] = (char *)*first;
    for (; second && *second; second++)
        argv[count++] = (char *)*second;
    assert_true(count < MAX_ARGUMENTS);
    argv[count] = NULL;
}

/* Only async-signal-safe calls: we may be under a sanitizer. */
static pid_t spawn(char **argv, const int *inherited, int output) {
    pid_t parent = getpid(), pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent && getppid() != 0) /* 0 where it is in a namespace of its own */
        _exit(125);
    for (; inherited && *inherited >= 0; inherited++)
        fcntl(*inherited, F_SETFD, 0);
    if (output >= 0) {
        dup2(output, STDOUT_FILENO);
        dup2(output, STDERR_FILENO);
    }
    execvp(argv[0], argv);
    _exit(127);
}

static struct client *add_client(int socket) {
    struct client *client = client_new(socket);
    client->next = the_helper.clients;
    the_helper.clients = client;
    return client;
}

struct helper *helper_start(const char *const *options) {
    return helper_start_with(options, NULL);
}

struct helper *helper_start_with(const char *const *options, const int *inherited) {
    int vmm[2], manage[2], stay_open[MAX_ARGUMENTS], count = 0;
    char user[16], vmm_fd[16], manage_fd[16], paths[3][128], *argv[MAX_ARGUMENTS + 1];
    assert_int_equal(the_helper.pid, 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, vmm), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, manage), 0);
    /* Descriptors on their way are counted for a user as a whole: a user of its
     * own keeps other tests, which run at the same time, out of this one. */
    snprintf(user, sizeof(user), "%d", 1000000 + getpid());
    snprintf(vmm_fd, sizeof(vmm_fd), "%d", vmm[1]);
    snprintf(manage_fd, sizeof(manage_fd), "%d", manage[1]);
    for (int role = ROLE(VMM); role <= ROLE(OBSERVER); role++)
        snprintf(paths[role - 1], sizeof(paths[0]), "%s", helper_socket_path(role));

    const char *sockets[] = {"--user",    user,     "--vmm-fd", vmm_fd,     "--manage-fd",
                             manage_fd,   "--vmm",  paths[0],   "--manage", paths[1],
                             "--observe", paths[2], NULL};
    command_line(argv, sockets, options);
    for (; inherited && inherited[count] >= 0; count++)
        stay_open[count] = inherited[count];
    stay_open[count] = vmm[1];
    stay_open[count + 1] = manage[1];
    stay_open[count + 2] = -1;
    the_helper.pid = spawn(argv, stay_open, -1);
    close(vmm[1]);
    close(manage[1]);

    the_helper.vmm = add_client(vmm[0]);
    the_helper.manager = add_client(manage[0]);
    client_hello(the_helper.vmm, "test vmm");
    client_hello(the_helper.manager, "test manager");
    helper_remember(&the_helper);
    return &the_helper;
}

struct client *helper_connect_silent(struct helper *helper, int role) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", helper_socket_path(role));
    struct client *client = add_client(fd);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        fail_msg("connect %s: %s", address.sun_path, strerror(errno));
    return client;
}

struct client *helper_connect(struct helper *helper, int role, const char *name) {
    struct client *client = helper_connect_silent(helper, role);
    Reply *reply = client_hello(client, name);
    assert_int_equal(reply->hello->role, role);
    return client;
}

struct client *helper_connect_owner(struct helper *helper, const char *name, const char *owner) {
    struct client *client = helper_connect_silent(helper, ROLE(MANAGER));
    assert_int_equal(client_hello_as(client, name, owner)->hello->role, ROLE(MANAGER));
    return client;
}

void client_leave(struct helper *helper, struct client *client) {
    struct client *asking = client == helper->manager ? NULL : helper->manager;
    assert_non_null(asking);
    uint32_t connections = client_totals(asking).connections;
    client_hang_up(client);
    wait_until(client_totals(asking).connections < connections);
}

void helper_forget(struct helper *helper, struct client *client) {
    for (struct client **link = &helper->clients; *link; link = &(*link)->next)
        if (*link == client) {
            *link = client->next;
            client_free(client);
            return;
        }
    fail_msg("not a client of this helper");
}

/* ---------------------------------------------------------------- looking */

/* Its user may do that; root may not everywhere (CAP_SYS_RESOURCE). */
static int lower_limit(pid_t pid, rlim_t number) {
    char path[64], line[256];
    unsigned uid = 0, gid = 0;
    struct rlimit limit;
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    FILE *status = fopen(path, "re");
    while (status && fgets(line, sizeof(line), status)) {
        sscanf(line, "Uid: %u", &uid);
        sscanf(line, "Gid: %u", &gid);
    }
    if (setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0 ||
        prlimit(pid, RLIMIT_NOFILE, NULL, &limit) < 0)
        return 1;
    limit.rlim_cur = number ? number : limit.rlim_max;
    return prlimit(pid, RLIMIT_NOFILE, &limit, NULL) < 0;
}

void helper_limit_descriptors(struct helper *helper, int number) {
    pid_t pid = fork();
    int status;
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(number < 0 ? 1 : lower_limit(helper->pid, (rlim_t)number));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status != 0)
        skip();
}

/* ----------------------------------------------------------------- ending */

/* The process must end by itself; a hanging one is killed, and the test fails. */
static int wait_for(pid_t pid) {
    int status, process = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd ended = {.fd = process, .events = POLLIN};
    bool hangs = process >= 0 && poll(&ended, 1, HANG_MS) == 0;
    if (hangs)
        kill(pid, SIGKILL);
    close(process);
    waitpid(pid, &status, 0);
    if (hangs)
        fail_msg("the helper did not end");
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        print_error("killed by SIGSYS: its seccomp filter lacks a system call; the kernel's log "
                    "(audit, type=1326) has the number\n");
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int helper_wait(struct helper *helper) {
    pid_t pid = helper->pid;
    helper->pid = 0;
    return wait_for(pid);
}

void helper_end(struct helper *helper) {
    if (helper->vmm->socket >= 0 && helper->manager->socket >= 0)
        helper_expect_clean(helper);
    for (struct client *client = helper->clients; client; client = client->next)
        client_hang_up(client);
    assert_int_equal(helper_wait(helper), 0);
}

int helper_run(const char *const *arguments, const int *inherited, char *output, size_t size) {
    char *argv[MAX_ARGUMENTS + 1];
    int pipes[2];
    size_t used = 0;
    ssize_t length;
    command_line(argv, arguments, NULL);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    pid_t pid = spawn(argv, inherited, pipes[1]);
    close(pipes[1]);
    while ((length = read(pipes[0], output + used, size - 1 - used)) > 0)
        used += (size_t)length;
    output[used] = '\0';
    close(pipes[0]);
    return wait_for(pid);
}

/* ------------------------------------------------------- before and after */

static int remove_entry(const char *path, const struct stat *file, int type, struct FTW *ftw) {
    return remove(path);
}

void harness_put_away(void) {
    if (the_helper.pid > 0) {
        kill(the_helper.pid, SIGKILL);
        waitpid(the_helper.pid, NULL, 0);
    }
    for (struct client *client = the_helper.clients, *next; client; client = next) {
        next = client->next;
        client_free(client);
    }
    the_helper = (struct helper){0};
    for (int fd = 0; fd < MAX_DESCRIPTORS; fd++)
        if (kept[fd])
            harness_close(fd);
    if (directory[0])
        nftw(directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    directory[0] = '\0';
}

int harness_begin(void **state) {
    harness_put_away();
    oracle_remember(state);
    /* Not in a memory file system: those may refuse O_DIRECT. */
    strcpy(directory, "/var/tmp/fdset-test-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

int harness_end(void **state) {
    if (the_helper.pid > 0)
        helper_end(&the_helper);
    harness_put_away();
    return oracle_compare(state);
}

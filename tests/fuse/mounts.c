/* SPDX-License-Identifier: MIT */
/* File systems that stop answering when they are told to: see mounts.h. */
#include "mounts.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_MOUNTS       8
#define PATIENCE_SECONDS 20
#define SKIPPED          77

static struct mount mounts[MAX_MOUNTS];

void mounts_prepare(void) {
    const char *what = "/dev/fuse";
    int fuse = open(what, O_RDWR | O_CLOEXEC);

    if (fuse >= 0) {
        close(fuse);
        what = "mounts of our own, as root";
        if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
            return;
    }
    fprintf(stderr, "SKIPPED: files whose server hangs are not tested here: %s: %s\n", what,
            strerror(errno));
    exit(SKIPPED);
}

/* ----------------------------------------------------------- the server */

/* It must not outlive us: a file system that nobody serves any more hangs. */
static pid_t start_server(const char *path, int control, const char *option) {
    const char *program = getenv("FDSET_TEST_STUCK_FS");
    pid_t parent = getpid(), pid = fork();
    char number[16];

    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(125);
    fcntl(control, F_SETFD, 0);
    snprintf(number, sizeof(number), "%d", control);
    execl(program, program, path, number, option, (char *)NULL);
    _exit(127);
}

static pid_t answer(const struct mount *mount) {
    struct stuck_answer answer;
    ssize_t length = recv(mount->control, &answer, sizeof(answer), 0);
    if (length != sizeof(answer))
        fail_msg("%s: %s", mount->path, length < 0 ? strerror(errno) : "its server has ended");
    return answer.asker;
}

static pid_t order(struct mount *mount, struct stuck_order order) {
    assert_int_equal(send(mount->control, &order, sizeof(order), MSG_NOSIGNAL), sizeof(order));
    return answer(mount);
}

static struct mount *mount_make(const char *option) {
    struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
    struct mount *mount = mounts;
    char name[16];
    int pair[2];

    while (mount->server)
        mount++;
    assert_true(mount < mounts + MAX_MOUNTS);
    snprintf(name, sizeof(name), "mount%d", (int)(mount - mounts));
    snprintf(mount->path, sizeof(mount->path), "%s", file_path(name));
    assert_int_equal(mkdir(mount->path, 0755), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    mount->control = pair[0];
    mount->server = start_server(mount->path, pair[1], option);
    close(pair[1]);
    answer(mount);
    return mount;
}

struct mount *mount_new(void) {
    return mount_make(NULL);
}

struct mount *mount_new_private(void) {
    return mount_make("private");
}

void mount_stop(struct mount *mount, enum stuck_operation operation) {
    order(mount, (struct stuck_order){STUCK_STOP, operation, 0});
}

void mount_go_on(struct mount *mount, enum stuck_operation operation) {
    order(mount, (struct stuck_order){STUCK_GO_ON, operation, 0});
}

void mount_fail(struct mount *mount, enum stuck_operation operation, int error) {
    order(mount, (struct stuck_order){STUCK_GO_ON, operation, error});
}

pid_t mount_await(struct mount *mount, enum stuck_operation operation) {
    return order(mount, (struct stuck_order){STUCK_AWAIT, operation, 0});
}

/* MNT_FORCE is what aborts the connection, as /sys/fs/fuse/connections/N/abort
 * does, which is not mounted everywhere. */
void mount_abort(struct mount *mount) {
    if (umount2(mount->path, MNT_FORCE | MNT_DETACH) < 0)
        print_error("%s: %s\n", mount->path, strerror(errno));
    /* Aborts it once more, should that have failed. */
    kill(mount->server, SIGKILL);
    waitpid(mount->server, NULL, 0);
    close(mount->control);
    mount->server = 0;
}

/* ------------------------------------------------------------------- files */

int mount_open(const struct mount *mount, int file, int flags) {
    char path[sizeof(mount->path) + 16];
    snprintf(path, sizeof(path), "%s/%d", mount->path, file);
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0)
        fail_msg("%s: %s", path, strerror(errno));
    return harness_keep(fd);
}

bool mount_locked(const struct mount *mount, int file, off_t byte) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    int fd = mount_open(mount, file, O_RDWR);
    assert_int_equal(fcntl(fd, F_OFD_GETLK, &lock), 0);
    harness_close(fd);
    return lock.l_type != F_UNLCK;
}

/* --------------------------------------------------------- before and after */

int mounts_begin(void **state) {
    return harness_begin(state);
}

int mounts_end(void **state) {
    for (struct mount *mount = mounts; mount < mounts + MAX_MOUNTS; mount++)
        if (mount->server)
            mount_abort(mount);
    return harness_end(state);
}

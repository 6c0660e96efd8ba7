/* SPDX-License-Identifier: MIT */
/* Runs a command on a host whose kernel has no vhost-vsock, and answers in its stead: what the
 * command and its children ask of /dev/vhost-vsock (any file there will do) is granted, and a
 * socket that they bind to the host's address of AF_VSOCK is bound to any. No virtual machine
 * is reached by it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <poll.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

/* In the command: its filter, whose questions can be read from the descriptor returned. Its
 * children keep it, and gain no less by exec than they would. */
static int filter_load(void) {
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int fd = -1;

    if (!filter || seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0) ||
        seccomp_rule_add(filter, SCMP_ACT_NOTIFY, SCMP_SYS(bind), 1,
                         SCMP_CMP64(2, SCMP_CMP_EQ, sizeof(struct sockaddr_vm), 0)) ||
        seccomp_rule_add(filter, SCMP_ACT_NOTIFY, SCMP_SYS(ioctl), 1,
                         SCMP_A1(SCMP_CMP_MASKED_EQ, 0xff00, VHOST_VIRTIO << 8)) ||
        seccomp_rule_add(filter, SCMP_ACT_ERRNO(0), SCMP_SYS(prlimit64), 2,
                         SCMP_CMP64(1, SCMP_CMP_EQ, RLIMIT_MEMLOCK, 0),
                         SCMP_CMP64(2, SCMP_CMP_NE, 0, 0)) ||
        seccomp_load(filter)) {
        perror("vsock: filter");
        return -1;
    }
    fd = fcntl(seccomp_notify_fd(filter), F_DUPFD_CLOEXEC, 0);
    seccomp_release(filter);
    return fd;
}

static bool memory_move(pid_t pid, uint64_t address, void *data, size_t size, bool to) {
    char path[32];
    ssize_t moved = -1;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd >= 0) {
        moved = to ? pwrite(fd, data, size, (off_t)address) : pread(fd, data, size, (off_t)address);
        close(fd);
    }
    return moved == (ssize_t)size;
}

/* A copy of another's descriptor. A question comes from a thread, and a pidfd names processes. */
static int descriptor_of(pid_t thread, int number) {
    char line[64], path[32];
    int pid = thread, pidfd, fd = -1;
    FILE *status;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)thread);
    status = fopen(path, "re");
    while (status && fgets(line, sizeof(line), status) && sscanf(line, "Tgid: %d", &pid) != 1)
        continue;
    if (status)
        fclose(status);
    pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd >= 0) {
        fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
        close(pidfd);
    }
    return fd;
}

static int bind_to_any(const struct seccomp_notif *question, struct sockaddr_vm *address) {
    int fd = descriptor_of((pid_t)question->pid, (int)question->data.args[0]);
    int error = fd < 0 ? errno : 0;

    address->svm_cid = VMADDR_CID_ANY;
    if (fd >= 0 && bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
        error = errno;
    if (fd >= 0)
        close(fd);
    return -error;
}

static void answer(const struct seccomp_notif *question, struct seccomp_notif_resp *reply) {
    const __u64 *args = question->data.args;
    struct sockaddr_vm address;
    uint64_t features = 1 << VHOST_F_LOG_ALL; /* else QEMU could not migrate */
    pid_t pid = (pid_t)question->pid;

    if (question->data.nr == SCMP_SYS(ioctl)) {
        if (args[1] == VHOST_GET_FEATURES &&
            !memory_move(pid, args[2], &features, sizeof(features), true))
            reply->error = -EFAULT;
        if (_IOC_NR(args[1]) >= 0x80) /* the features as an array, which QEMU can do without */
            reply->error = -ENOTTY;
    } else if (memory_move(pid, args[1], &address, sizeof(address), false) &&
               address.svm_family == AF_VSOCK && address.svm_cid == VMADDR_CID_HOST) {
        reply->error = bind_to_any(question, &address);
    } else {
        reply->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    }
}

/* Until nobody is left who could ask. */
static int answer_all(int fd) {
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    struct seccomp_notif_resp *reply = NULL;
    struct seccomp_notif *question = NULL;

    if (seccomp_notify_alloc(&question, &reply) != 0)
        return EXIT_FAILURE;
    while (poll(&poller, 1, -1) == 1 && !(poller.revents & POLLHUP)) {
        memset(question, 0, sizeof(*question));
        memset(reply, 0, sizeof(*reply));
        /* Who asked may have been killed meanwhile. */
        if (seccomp_notify_receive(fd, question) != 0)
            continue;
        reply->id = question->id;
        answer(question, reply);
        seccomp_notify_respond(fd, reply);
    }
    return EXIT_SUCCESS;
}

/* The command is this process, and who answers is its child; or its orphan. */
int main(int argc, char **argv) {
    int pair[2], fd = -1;
    char byte = 0;

    if (argc < 2 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        fprintf(stderr, "Usage: vsock COMMAND [ARGUMENT]...\n");
        return 2;
    }
    switch (fork()) {
    case -1:
        return EXIT_FAILURE;
    case 0:
        close(pair[1]);
        if (read(pair[0], &fd, sizeof(fd)) != sizeof(fd))
            return EXIT_FAILURE;
        fd = descriptor_of(getppid(), fd);
        if (fd < 0 || write(pair[0], &byte, 1) != 1)
            return EXIT_FAILURE;
        close(pair[0]);
        return answer_all(fd);
    default:
        close(pair[0]);
        fd = filter_load();
        if (fd < 0 || write(pair[1], &fd, sizeof(fd)) != sizeof(fd) || read(pair[1], &byte, 1) != 1)
            return EXIT_FAILURE;
        execvp(argv[1], argv + 1);
        perror(argv[1]);
        return 127;
    }
}

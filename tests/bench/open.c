/* What an open through the helper costs, against the least that any server of
 * descriptors can cost: one epoll server process, one packet each way, one
 * descriptor. All measured in turn in one run, so that the machine's mood is
 * the same for all. Prints medians; fails only if something does not work. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <fdset/vmm.h>

#define ROUNDS    200
#define PER_ROUND 50
#define SAMPLES   (ROUNDS * PER_ROUND)
#define SPAWNS    50

static double now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int ascending(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median(double *samples, size_t count) {
    qsort(samples, count, sizeof(*samples), ascending);
    return samples[count / 2];
}

/* --------------------------------------------------- the floor: a bare server */

#define REQUEST_BYTES 24 /* what an Open of one set takes */

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
};

static void send_descriptor(int socket, int fd) {
    char bytes[REQUEST_BYTES] = {0};
    union control control = {0};
    struct iovec vector = {bytes, sizeof(bytes)};
    struct msghdr header = {.msg_iov = &vector,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *block = CMSG_FIRSTHDR(&header);
    *block = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(block), &fd, sizeof(fd));
    if (sendmsg(socket, &header, 0) < 0)
        err(1, "bare server: sendmsg");
}

static int receive_descriptor(int socket) {
    char bytes[REQUEST_BYTES];
    union control control;
    struct iovec vector = {bytes, sizeof(bytes)};
    struct msghdr header = {.msg_iov = &vector,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof(control.bytes)};
    int fd = -1;
    if (recvmsg(socket, &header, MSG_CMSG_CLOEXEC) < 0 || !CMSG_FIRSTHDR(&header))
        err(1, "bare client: recvmsg");
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&header)), sizeof(fd));
    return fd;
}

static void serve(int socket, int fd) {
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = socket};
    char bytes[REQUEST_BYTES];

    epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &event);
    while (epoll_wait(epoll, &event, 1, -1) == 1 && recv(socket, bytes, sizeof(bytes), 0) > 0)
        send_descriptor(socket, fd);
    _exit(0);
}

static pid_t start_bare_server(int fd, int *socket) {
    int sockets[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
        err(1, "socketpair");
    pid_t pid = fork();
    if (pid == 0) {
        close(sockets[0]);
        serve(sockets[1], fd);
    }
    close(sockets[1]);
    *socket = sockets[0];
    return pid;
}

static double time_floor(int socket) {
    char bytes[REQUEST_BYTES] = {0};
    double start = now_us();
    if (send(socket, bytes, sizeof(bytes), 0) < 0)
        err(1, "bare client: send");
    int fd = receive_descriptor(socket);
    double end = now_us();
    close(fd);
    return end - start;
}

/* ---------------------------------------------------------------------- ours */

static struct fdset_vmm *spawn(int fd) {
    struct fdset_initial initial = {.fd = fd, .set = 1};
    struct fdset_spawn_options options = {.initial = &initial, .initial_count = 1};
    struct fdset_vmm *vmm;
    if (fdset_vmm_spawn(&vmm, &options) < 0)
        errx(1, "spawn: %s", fdset_error_text());
    return vmm;
}

static int open_set(struct fdset_vmm *vmm) {
    int fd = fdset_open(vmm, "/dev/fdset/1", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        errx(1, "open: %s", fdset_error_text());
    return fd;
}

static double time_open(struct fdset_vmm *vmm) {
    double start = now_us();
    int fd = open_set(vmm);
    double end = now_us();
    fdset_close(vmm, fd);
    return end - start;
}

static double time_open_close(struct fdset_vmm *vmm) {
    double start = now_us();
    fdset_close(vmm, open_set(vmm));
    return now_us() - start;
}

/* From the call to the Hello of a helper that is locked in. */
static double time_spawn(int fd) {
    double start = now_us();
    struct fdset_vmm *vmm = spawn(fd);
    double end = now_us();
    fdset_vmm_free(vmm);
    return end - start;
}

/* What the process has for itself, KiB; -1 where we may not look (root may). */
static long private_kib(pid_t pid) {
    char path[64], line[128];
    long total = -1, part;
    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "Private_Clean: %ld", &part) == 1 ||
            sscanf(line, "Private_Dirty: %ld", &part) == 1)
            total = (total < 0 ? 0 : total) + part;
    if (file)
        fclose(file);
    return total;
}

static void print_times(double floor, double open, double open_close, double spawn) {
    printf("median of %d, microseconds       median   x floor\n", SAMPLES);
    printf("  bare round trip with descriptor %8.1f  %8.2f\n", floor, 1.0);
    printf("  fdset_open                      %8.1f  %8.2f\n", open, open / floor);
    printf("  fdset_open + fdset_close        %8.1f  %8.2f\n", open_close, open_close / floor);
    printf("median of %d, milliseconds\n", SPAWNS);
    printf("  spawn to ready                  %8.2f\n", spawn / 1000);
}

int main(void) {
    static double floors[SAMPLES], opens[SAMPLES], both[SAMPLES], spawns[SPAWNS];
    int disk = memfd_create("disk", MFD_CLOEXEC), bare;
    pid_t server = start_bare_server(disk, &bare);
    struct fdset_vmm *vmm = spawn(disk);
    long idle = private_kib(fdset_vmm_helper_pid(vmm));

    for (size_t round = 0; round < ROUNDS; round++)
        for (size_t i = round * PER_ROUND; i < (round + 1) * PER_ROUND; i++) {
            floors[i] = time_floor(bare);
            opens[i] = time_open(vmm);
            both[i] = time_open_close(vmm);
        }
    for (size_t i = 0; i < SPAWNS; i++)
        spawns[i] = time_spawn(disk);

    print_times(median(floors, SAMPLES), median(opens, SAMPLES), median(both, SAMPLES),
                median(spawns, SPAWNS));
    if (idle >= 0)
        printf("private memory of an idle helper, KiB\n  %33ld\n", idle);
    else
        printf("private memory of an idle helper: only root may look\n");
    fdset_vmm_free(vmm);
    close(bare);
    waitpid(server, NULL, 0);
    return 0;
}

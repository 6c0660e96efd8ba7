/* SPDX-License-Identifier: MIT */
/* What the confined process itself can and cannot do. Before seccomp, where
 * everything else has to hold alone; and after it, where the helper's work has
 * to go on. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "oracle.h"
#include <linux/securebits.h>

#include "cage.h"
#include "confine/privileges.h"

/* -------------------------------------------------------- between the halves */

/* What the process must not reach: a listening abstract socket and a process. */
static struct sockaddr_un abstract;
static socklen_t abstract_length;

static bool fails(long result, int error) {
    if (result < 0 && errno == error)
        return true;
    fprintf(stderr, "# result %ld, errno %s, wanted %s\n", result, strerrorname_np(errno),
            strerrorname_np(error));
    return false;
}

static int abstract_connect(void) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result = connect(fd, (struct sockaddr *)&abstract, abstract_length);
    int error = errno;

    close(fd);
    errno = error;
    return result;
}

static int internet_connect(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(9)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int result, error;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    result = connect(fd, (struct sockaddr *)&address, sizeof(address));
    error = errno;
    close(fd);
    errno = error;
    return result;
}

/* Sealed by all but seccomp. */
static int first_half(struct cage *cage) {
    CAGE_CHECK(confine_enter(&cage->plan, &cage->report) == 0);
    CAGE_CHECK(cage_all_done(cage));
    CAGE_CHECK(fails(open("/", O_RDONLY), EACCES));
    CAGE_CHECK(fails(open("/etc/passwd", O_RDONLY), EACCES)); /* no search in the root */
    CAGE_CHECK(fails(open("/proc/self/mem", O_RDONLY), EACCES));
    CAGE_CHECK(fails(mkdir("/x", 0700), EACCES));
    CAGE_CHECK(fails(open("..", O_PATH), EACCES));
    CAGE_CHECK(fails(chroot("/"), EACCES));
    CAGE_CHECK(fails(mount("none", "/", "tmpfs", 0, NULL), EPERM));
    CAGE_CHECK(fails(unshare(CLONE_NEWNET), EPERM));
    CAGE_CHECK(setuid(0) < 0);
    CAGE_CHECK(fails(sethostname("x", 1), EPERM));
    CAGE_CHECK(fails(kill(getppid(), 0), EPERM));
    CAGE_CHECK(fails(ptrace(PTRACE_SEIZE, getppid(), 0, 0), EPERM));
    CAGE_CHECK(fails(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 0, 0, 0), EPERM));
    CAGE_CHECK(fails(prctl(PR_CAPBSET_DROP, 0, 0, 0, 0), EPERM));
    /* Those of Linux 6.14 are in newer.c. */
    CAGE_CHECK((prctl(PR_GET_SECUREBITS) & 0xff) == (0xff & ~SECBIT_KEEP_CAPS));
    CAGE_CHECK(prctl(PR_GET_DUMPABLE) == 0);
    CAGE_CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    CAGE_CHECK(fails(abstract_connect(), ECONNREFUSED));
    CAGE_CHECK(fails(internet_connect(), ENETUNREACH));
    if (cage->kernel_has_mdwe)
        CAGE_CHECK(mmap(NULL, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
                   MAP_FAILED);
    return 0;
}

/* The same files, the same strangers, by Landlock and capabilities alone. */
static int first_half_without_namespaces(struct cage *cage) {
    bool has_scopes = landlock_abi() >= 6;     /* Linux 6.12 */
    bool has_udp_ports = landlock_abi() >= 10; /* 7.2 */
    char unused[40];

    snprintf(unused, sizeof(unused), "/tmp/sandbox-inside-%d", getpid());

    cage_refuse(SCMP_SYS(unshare), EPERM);
    CAGE_CHECK(confine_enter(&cage->plan, &cage->report) == 0);
    CAGE_CHECK(cage_outcome(cage, "namespaces") == CONFINE_PARTLY);
    CAGE_CHECK(cage_outcome(cage, "root") == CONFINE_PARTLY);
    CAGE_CHECK(fails(open("/", O_RDONLY), EACCES));
    CAGE_CHECK(fails(open("/etc/passwd", O_RDONLY), EACCES));
    CAGE_CHECK(fails(open("/proc/self/mem", O_RDONLY), EACCES));
    CAGE_CHECK(fails(mkdir(unused, 0700), EACCES));
    CAGE_CHECK(fails(ptrace(PTRACE_SEIZE, getppid(), 0, 0), EPERM));
    if (has_scopes)
        CAGE_CHECK(fails(abstract_connect(), EPERM));
    CAGE_CHECK(has_udp_ports ? fails(internet_connect(), EACCES) : internet_connect() == 0);
    if (has_scopes || cage->tester_uid != geteuid())
        CAGE_CHECK(fails(kill(getppid(), 0), EPERM));
    return 0;
}

static int abstract_listen(void **state) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    abstract.sun_family = AF_UNIX;
    abstract_length = sizeof(abstract);
    *state = (void *)(intptr_t)fd;
    return bind(fd, (struct sockaddr *)&abstract, sizeof(sa_family_t)) < 0 ||
                   getsockname(fd, (struct sockaddr *)&abstract, &abstract_length) < 0 ||
                   listen(fd, 8) < 0 || abstract_connect() < 0
               ? -1
               : 0;
}

/* ------------------------------------------------------- after the second half */

/* One message with up to one descriptor each way, with the flags that the
 * filter wants and those that the test is free to use. */
static bool message_send(int socket, int fd, int flags) {
    char byte = 'm';
    struct iovec vector = {&byte, 1};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct msghdr header = {
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };
    struct cmsghdr *rights = CMSG_FIRSTHDR(&header);

    *rights = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(rights), &fd, sizeof(fd));
    return sendmsg(socket, &header, flags | MSG_NOSIGNAL) == 1;
}

static int message_receive(int socket, int flags) {
    char byte;
    struct iovec vector = {&byte, 1};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct msghdr header = {
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };
    int fd;

    if (recvmsg(socket, &header, flags | MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&header))
        return -1;
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&header)), sizeof(fd));
    return fd;
}

static bool watch(const struct cage *cage, int operation, int fd, uint32_t wanted) {
    struct epoll_event event = {.events = wanted, .data.fd = fd};
    return epoll_ctl(CONFINE_EPOLL, operation, fd, &event) == 0;
}

static bool wait_for(const struct cage *cage, int fd) {
    struct epoll_event events[CONFINE_EPOLL_EVENTS];

    return epoll_pwait(CONFINE_EPOLL, events, CONFINE_EPOLL_EVENTS, 10000, NULL) == 1 &&
           events[0].data.fd == fd;
}

/* All that the helper does to a member. */
static int member_handle(struct cage *cage, int fd) {
    struct statx status;
    struct statfs file_system;

    CAGE_CHECK(fcntl(fd, F_GETFL) == (O_RDWR | 0100000)); /* O_LARGEFILE, which libc hides */
    CAGE_CHECK(statx(fd, cage_empty_path, AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS,
                     &status) == 0);
    CAGE_CHECK(S_ISREG(status.stx_mode) && status.stx_size == 5);
    CAGE_CHECK(fstatfs(fd, &file_system) == 0 && file_system.f_type != 0);
    CAGE_CHECK(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK) == 0);
    CAGE_CHECK(fcntl(fd, F_SETFL, 0) == 0);
    CAGE_CHECK(fcntl(fd, F_SETFL, O_APPEND) == 0);
    CAGE_CHECK(fcntl(fd, F_OFD_SETLK, &cage_unlock_all) == 0);
    CAGE_CHECK(flock(fd, LOCK_UN) == 0);
    CAGE_CHECK(fcntl(fd, F_SETLEASE, F_UNLCK) < 0); /* there is none */
    CAGE_CHECK(fcntl(fd, F_SETSIG, 0) == 0 && fcntl(fd, F_SETOWN, 0) == 0);
    return 0;
}

/* All that it does with a connection. The test is the peer. */
static int work(struct cage *cage) {
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    socklen_t length = sizeof(name), peer_length = sizeof(struct ucred);
    struct ucred peer;
    uid_t wanted = cage->tester_uid;
    int connection, member, keep[5];

    memcpy(keep, cage->keep, sizeof(cage->keep));
    keep[cage->plan.keep_count++] = listener;
    cage->plan.keep = keep;
    CAGE_CHECK(bind(listener, (struct sockaddr *)&name, sizeof(sa_family_t)) == 0);
    CAGE_CHECK(getsockname(listener, (struct sockaddr *)&name, &length) == 0);
    CAGE_CHECK(listen(listener, 8) == 0);
    CAGE_CHECK(confine_enter(&cage->plan, &cage->report) == 0);
    /* As the contract of other_users_unknown says. */
    if (cage->report.other_users_unknown && wanted != geteuid())
        wanted = 65534;
    CAGE_CHECK(confine_seal(&cage->plan, &cage->report) == 0);
    CAGE_CHECK(watch(cage, EPOLL_CTL_ADD, listener, EPOLLIN));
    CAGE_CHECK(sendmsg(cage->control,
                       &(struct msghdr){.msg_iov = &(struct iovec){&name, length}, .msg_iovlen = 1},
                       MSG_DONTWAIT | MSG_NOSIGNAL) > 0);

    CAGE_CHECK(wait_for(cage, listener));
    connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    CAGE_CHECK(connection >= 0);
    CAGE_CHECK(getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &peer_length) == 0);
    CAGE_CHECK(peer.pid > 0 && peer.pid == cage->tester);
    CAGE_CHECK(peer.uid == wanted);
    CAGE_CHECK(watch(cage, EPOLL_CTL_ADD, connection, EPOLLOUT));
    CAGE_CHECK(watch(cage, EPOLL_CTL_MOD, connection, EPOLLIN));
    CAGE_CHECK(wait_for(cage, connection));
    member = message_receive(connection, MSG_DONTWAIT);
    CAGE_CHECK(member >= 0);
    if (member_handle(cage, member) != 0)
        return 1;
    CAGE_CHECK(message_send(connection, member, MSG_DONTWAIT));
    CAGE_CHECK(watch(cage, EPOLL_CTL_DEL, connection, 0));
    CAGE_CHECK(close(member) == 0 && close(connection) == 0 && close(listener) == 0);
    CAGE_CHECK(write(STDERR_FILENO, "", 0) == 0);
    /* The settle thread's way, with an answer already there. */
    CAGE_CHECK(message_send(cage->settle[0], STDERR_FILENO, MSG_DONTWAIT));
    member = message_receive(cage->settle[1], 0);
    CAGE_CHECK(member >= 0 && close(member) == 0);
    return 0;
}

/* ------------------------------------------------------------------- tests */

static void test_first_half_as_root(void **state) {
    cage_test(AS_ROOT, first_half);
}

static void test_first_half_as_user(void **state) {
    cage_test(AS_USER, first_half);
}

static void test_without_namespaces_as_root(void **state) {
    cage_test(AS_ROOT, first_half_without_namespaces);
}

static void test_without_namespaces_as_user(void **state) {
    cage_test(AS_USER, first_half_without_namespaces);
}

static void test_work(enum starter starter) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char path[] = "/tmp/sandbox-XXXXXX", again[40];
    struct sockaddr_un name;
    int control, file, other, connection, status, back;
    ssize_t length;
    pid_t child;

    if (!cage_can_start(starter))
        skip();
    file = mkostemp(path, O_CLOEXEC);
    assert_true(file >= 0);
    assert_int_equal(write(file, "hello", 5), 5);
    assert_int_equal(fcntl(file, F_OFD_SETLK, &lock), 0);
    snprintf(again, sizeof(again), "/proc/self/fd/%d", file);
    other = open(again, O_RDWR | O_CLOEXEC); /* a second description */
    unlink(path);
    child = cage_start(starter, &control, work);
    length = recv(control, &name, sizeof(name), 0);
    assert_true(length > 0);
    connection = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(connection, (struct sockaddr *)&name, length), 0);
    assert_true(message_send(connection, file, 0));
    back = message_receive(connection, 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(back >= 0);
    assert_true(fcntl(file, F_GETFL) & O_APPEND);
    assert_int_equal(fcntl(other, F_OFD_GETLK, &lock), 0);
    assert_int_equal(lock.l_type, F_UNLCK);
    close(back), close(connection), close(control), close(other), close(file);
}

static void test_work_as_root(void **state) {
    test_work(AS_ROOT);
}

static void test_work_as_user(void **state) {
    test_work(AS_USER);
}

static void test_work_as_nobody(void **state) {
    test_work(AS_NOBODY);
}

static int listener_end(void **state) {
    return close((intptr_t)*state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        oracle_test(test_first_half_as_root),
        oracle_test(test_first_half_as_user),
        oracle_test(test_without_namespaces_as_root),
        oracle_test(test_without_namespaces_as_user),
        oracle_test(test_work_as_root),
        oracle_test(test_work_as_user),
        oracle_test(test_work_as_nobody),
    };
    return cmocka_run_group_tests(tests, abstract_listen, listener_end);
}

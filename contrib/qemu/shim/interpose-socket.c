/* SPDX-License-Identifier: MIT */
/* What writes to a socket: a QMP monitor is known by its greeting, whatever made it.
 *
 * And what reads from one. Before the first byte of a monitor's client a pair of sockets is put
 * in: one end takes the number that QEMU knows, the other goes to the relay with the client's
 * socket. By a monitor portals come; where a file comes by any other socket, somebody walks
 * around the helper. */
#include "libc.h"

#include "attach.h"
#include "marks.h"
#include "portals.h"
#include "spawn.h"
#include "stray.h"
#include "tell.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* A monitor that writes for people sends each line by itself. The relay lets through what
 * turns out to be none. */
static bool is_greeting(const void *bytes, size_t size) {
    static const char greeting[] = "{\"QMP\": {\"version\"", pretty[] = "{\r\n";

    if (size == sizeof(pretty) - 1)
        return memcmp(bytes, pretty, sizeof(pretty) - 1) == 0;
    return size >= sizeof(greeting) && memcmp(bytes, greeting, 8) == 0 &&
           memcmp(bytes, greeting, sizeof(greeting) - 1) == 0;
}

static bool is_connected_stream(int fd) {
    struct sockaddr_storage peer;
    socklen_t size = sizeof(int), peer_size = sizeof(peer);
    int type;

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM &&
           getpeername(fd, (struct sockaddr *)&peer, &peer_size) == 0;
}

/* Before `bytes` are written to `fd`. */
static void greeting_look(int fd, const void *bytes, size_t size) {
    int error = errno;

    if (is_greeting(bytes, size) && !(fd < MARKS_END && marks_have(fd, MARK_MONITOR)) &&
        shim_is_joined() && shim_is_owner() && !shim_is_inside() && is_connected_stream(fd)) {
        if (fd < MARKS_END)
            marks_set(fd, MARK_GREETED);
        else
            shutdown(fd, SHUT_RDWR); /* it cannot have the relay */
    }
    errno = error;
}

EXPORTED ssize_t write(int fd, const void *bytes, size_t size) {
    greeting_look(fd, bytes, size);
    return REAL(write)(fd, bytes, size);
}

EXPORTED ssize_t send(int fd, const void *bytes, size_t size, int flags) {
    greeting_look(fd, bytes, size);
    return REAL(send)(fd, bytes, size, flags);
}

EXPORTED ssize_t sendto(int fd, const void *bytes, size_t size, int flags,
                        const struct sockaddr *to, socklen_t to_size) {
    greeting_look(fd, bytes, size);
    return REAL(sendto)(fd, bytes, size, flags, to, to_size);
}

EXPORTED ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (count > 0)
        greeting_look(fd, parts[0].iov_base, parts[0].iov_len);
    return REAL(writev)(fd, parts, count);
}

EXPORTED ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    if (message->msg_iovlen > 0)
        greeting_look(fd, message->msg_iov[0].iov_base, message->msg_iov[0].iov_len);
    return REAL(sendmsg)(fd, message, flags);
}

/* The first is the beginning of QEMU's main loop: what it begins with is done while helper and
 * relay start. */
EXPORTED int ppoll(struct pollfd *all, nfds_t count, const struct timespec *timeout,
                   const sigset_t *mask) {
    shim_await_start();
    return REAL(ppoll)(all, count, timeout, mask);
}

/* ---------------------------------------------------- what brings descriptors */

/* False where that cannot be done. */
static bool pair_put_in(int fd) {
    struct joint_message message = {.kind = JOINT_MONITOR, .number = fd};
    int status = REAL(fcntl)(fd, F_GETFL), flags = REAL(fcntl)(fd, F_GETFD), ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return false;
    REAL(fcntl)(ends[0], F_SETFL, status);
    bool done = shim_tell(&message, (int[]){fd, ends[1]}) &&
                REAL(dup3)(ends[0], fd, flags & FD_CLOEXEC ? O_CLOEXEC : 0) == fd;
    REAL(close)(ends[0]);
    REAL(close)(ends[1]);
    return done;
}

/* Nothing of what its client has sent is read by anybody, nor what it sends from now on. */
static void client_refuse(int fd) {
    char bytes[4096];

    shutdown(fd, SHUT_RDWR);
    while (REAL(recv)(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        ;
}

/* Before `fd` is read from. It is done here and not as the greeting is written, since another
 * thread may write that: one that had begun to wait for the client's socket would not hear of
 * what comes by the pair. A client that cannot have the relay has none: its descriptors would
 * get into QEMU itself. */
static void monitor_begin(int fd) {
    int error = errno;

    if (!shim_is_owner() || shim_is_inside() || !marks_take(fd, MARK_GREETED))
        return;
    if (pair_put_in(fd))
        marks_set(fd, MARK_MONITOR);
    else
        client_refuse(fd);
    errno = error;
}

static inline void monitor_look(int fd) {
    if (marks_have(fd, MARK_GREETED))
        monitor_begin(fd);
}

/* Leaves out of `rights` what is refused. */
static void guard(int socket, struct cmsghdr *rights) {
    int *fds = (int *)CMSG_DATA(rights);
    size_t count = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int), kept = 0;
    char way[32];

    snprintf(way, sizeof(way), "socket %d", socket);
    for (size_t i = 0; i < count; i++) {
        if (stray_refuse(fds[i], way))
            close(fds[i]);
        else
            fds[kept++] = fds[i];
    }
    rights->cmsg_len = CMSG_LEN(kept * sizeof(int));
}

static void rights_look(int socket, struct cmsghdr *rights) {
    const int *fds = (const int *)CMSG_DATA(rights);
    size_t count = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);

    if (!marks_have(socket, MARK_MONITOR)) {
        guard(socket, rights);
        return;
    }
    for (size_t i = 0; i < count; i++)
        portals_received(fds[i]);
}

EXPORTED ssize_t read(int fd, void *bytes, size_t size) {
    monitor_look(fd);
    return REAL(read)(fd, bytes, size);
}

EXPORTED ssize_t readv(int fd, const struct iovec *parts, int count) {
    monitor_look(fd);
    return REAL(readv)(fd, parts, count);
}

EXPORTED ssize_t recv(int fd, void *bytes, size_t size, int flags) {
    monitor_look(fd);
    return REAL(recv)(fd, bytes, size, flags);
}

EXPORTED ssize_t recvfrom(int fd, void *bytes, size_t size, int flags, struct sockaddr *from,
                          socklen_t *from_size) {
    monitor_look(fd);
    return REAL(recvfrom)(fd, bytes, size, flags, from, from_size);
}

/* What programs call that are built with _FORTIFY_SOURCE; `room` is what bytes have. */
EXPORTED_UNDECLARED(ssize_t, __read_chk, (int fd, void *bytes, size_t size, size_t room)) {
    if (size > room)
        abort();
    return read(fd, bytes, size);
}

EXPORTED_UNDECLARED(ssize_t, __recv_chk,
                    (int fd, void *bytes, size_t size, size_t room, int flags)) {
    if (size > room)
        abort();
    return recv(fd, bytes, size, flags);
}

EXPORTED_UNDECLARED(ssize_t, __recvfrom_chk,
                    (int fd, void *bytes, size_t size, size_t room, int flags,
                     struct sockaddr *from, socklen_t *from_size)) {
    if (size > room)
        abort();
    return recvfrom(fd, bytes, size, flags, from, from_size);
}

EXPORTED ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
    monitor_look(fd);
    ssize_t result = REAL(recvmsg)(fd, message, flags);

    if (result < 0 || !message->msg_control || message->msg_controllen == 0 || !shim_is_joined() ||
        shim_is_inside())
        return result;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part))
        if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS)
            rights_look(fd, part);
    return result;
}

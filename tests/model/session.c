/* SPDX-License-Identifier: MIT */
/* A session by the library that can be cut short at each point: see session.h. */
#include "session.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ------------------------------------------------------------------- points */

struct aim aim;

static void point(void) {
    aim.passed++;
    if (aim.left > 0 && --aim.left == 0)
        kill(aim.victim, SIGKILL);
}

/* These stand in for libc's, in the library too. */
#pragma GCC visibility push(default)
ssize_t sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t recvmsg(int fd, struct msghdr *message, int flags);
int connect(int fd, const struct sockaddr *address, socklen_t size);
#pragma GCC visibility pop

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    point();
    ssize_t result = syscall(SYS_sendmsg, fd, message, flags);
    int error = errno;
    point();
    errno = error;
    return result;
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
    point();
    ssize_t result = syscall(SYS_recvmsg, fd, message, flags);
    int error = errno;
    point();
    errno = error;
    return result;
}

int connect(int fd, const struct sockaddr *address, socklen_t size) {
    point();
    int result = (int)syscall(SYS_connect, fd, address, size);
    int error = errno;
    point();
    errno = error;
    return result;
}

void aim_at(pid_t victim, int left) {
    aim.victim = victim;
    aim.left = left;
}

/* --------------------------------------------------------------- the session */

struct session session;

/* Keeps what an open gave, which must be the disk. Returns its result. */
static int opened(int fd) {
    struct stat file, disk;
    if (fd < 0)
        return fd;
    if (fstat(fd, &file) < 0 || fstat(session.disk, &disk) < 0 || file.st_ino != disk.st_ino ||
        file.st_dev != disk.st_dev)
        abort();
    session.fds[session.count++] = fd;
    return 0;
}

static void give_outcome(struct fdset_vmm *vmm, int fd, void *context) {
    session.outcomes++;
    opened(fd);
}

static void tell(void *context, enum fdset_link state, const char *text) {
    session.downs += state == FDSET_LINK_DOWN;
    session.ups += state == FDSET_LINK_UP;
    if (!*text || session.ups > session.downs)
        abort();
}

/* Gives up soon, since nobody starts the helper again while we wait. */
static const struct fdset_reconnect plan = {
    .first_ms = 1, .most_ms = 1, .give_up_ms = 2, .state = tell};

int connect_manager(void) {
    struct fdset_manager_options options = {.name = "manager", .owner = OWNER};
    int result = fdset_manager_connect_as(&session.manager, session.manager_path, &options);
    if (result == 0 && session.reconnects)
        result = fdset_manager_set_reconnect(
            session.manager,
            &(struct fdset_reconnect){.first_ms = 1, .most_ms = 1, .give_up_ms = 2});
    return result;
}

int connect_vmm(void) {
    int result = fdset_vmm_attach_path(&session.vmm, session.vmm_path, "vmm");
    if (result == 0 && session.reconnects)
        result = fdset_vmm_set_reconnect(session.vmm, &plan);
    return result;
}

/* Two members of one file to one set, in one packet: both are there, or none is. */
static int add_set(int set, enum fdset_lifetime lifetime, uint32_t grace_ms) {
    struct fdset_member members[] = {{.fd = session.disk, .opaque = "a"},
                                     {.fd = session.other, .opaque = "b"}};
    struct fdset_add add = {.set = set,
                            .lifetime = lifetime,
                            .members = members,
                            .member_count = 2,
                            .replace = true,
                            .grace_ms = grace_ms};
    return fdset_add_fds(session.manager, &add, 1);
}

int add_first(void) {
    return add_set(1, FDSET_KEEP, 0);
}

static int add_lasting(void) {
    return add_set(11, FDSET_CONNECTION, NEVER_MS);
}

static int add_passing(void) {
    return add_set(10, FDSET_CONNECTION, 0);
}

static int add_kept(void) {
    return add_set(12, FDSET_KEEP, 0);
}

int subscribe(void) {
    return fdset_subscribe(session.manager, 0);
}

static int hear(void) {
    struct fdset_event event;
    int result = fdset_next_event(session.manager, &event, 0);
    return result < 0 ? result : 0;
}

int query(void) {
    struct fdset_listing *listing;
    int result = fdset_query(session.manager, FDSET_ALL_SETS, &listing);
    if (result >= 0)
        fdset_listing_free(listing);
    return result;
}

static int remove_one(void) {
    int result = fdset_remove(session.manager, 12, 0);
    return result < 0 ? result : 0;
}

int open_disk(void) {
    return opened(fdset_open(session.vmm, "/dev/fdset/1", O_RDWR | O_APPEND));
}

int open_many(void) {
    struct fdset_open_request requests[] = {
        {.path = "/dev/fdset/1", .flags = O_RDWR | O_APPEND, .fd = -1},
        {.path = "/dev/fdset/1", .flags = O_RDONLY, .fd = -1}};
    int result = fdset_open_many(session.vmm, requests, 2);
    for (int i = 0; i < 2 && result >= 0; i++)
        opened(requests[i].fd);
    return result < 0 ? result : 0;
}

/* Who is killed leaves a lock behind. */
static int lock(void) {
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return session.count > 0 && fcntl(session.fds[0], F_OFD_SETLK, &whole) < 0 ? -errno : 0;
}

int hold(void) {
    return fdset_hold(session.vmm, "/dev/fdset/1");
}

static int unhold(void) {
    return fdset_unhold(session.vmm, "/dev/fdset/1");
}

int close_one(void) {
    return session.count > 0 ? fdset_close(session.vmm, session.fds[--session.count]) : 0;
}

int submit(void) {
    int result =
        fdset_open_submit(session.vmm, "/dev/fdset/9", O_RDWR, NEVER_MS, give_outcome, NULL);
    session.submitted += result == 0;
    return result;
}

int dispatch(void) {
    int result = fdset_vmm_dispatch(session.vmm, 0);
    return result < 0 ? result : 0;
}

const deed all_deeds[] = {
    connect_manager, connect_vmm, subscribe, add_first, open_disk, submit, open_many,  hold,
    dispatch,        query,       add_kept,  close_one, hear,      unhold, remove_one, open_disk,
    close_one,       query,       NULL,
};
const deed vmm_deeds[] = {
    connect_vmm, open_disk, lock, submit, open_many, hold, dispatch, close_one, open_disk, NULL,
};
const deed manager_deeds[] = {
    connect_manager, add_passing, subscribe,   add_lasting, add_kept, query, hear,
    remove_one,      add_kept,    add_lasting, query,       NULL,
};

/* Does it all, or up to the first that fails. */
int play(const deed *deeds) {
    int result = 0;
    for (; *deeds && result == 0; deeds++)
        result = (*deeds)();
    return result;
}

void session_begin(struct helper *helper, bool reconnects) {
    int disk = session.disk, other = session.other;
    session = (struct session){.disk = disk, .other = other, .reconnects = reconnects};
    strcpy(session.vmm_path, helper_socket_path(ROLE(VMM)));
    strcpy(session.manager_path, helper_socket_path(ROLE(MANAGER)));
}

void make_files(void) {
    session.disk = file_open("disk", O_RDWR);
    session.other = file_open("disk", O_RDONLY);
}

void session_end(void) {
    while (session.count > 0)
        assert_int_equal(close(session.fds[--session.count]), 0);
    fdset_vmm_free(session.vmm);
    fdset_manager_free(session.manager);
    assert_int_equal(session.outcomes, session.submitted);
    session.vmm = NULL;
    session.manager = NULL;
}

/* How many points a whole session has. */
int count_points(const deed *deeds) {
    aim_at(0, -1);
    int before = aim.passed;
    assert_int_equal(play(deeds), 0);
    return aim.passed - before;
}

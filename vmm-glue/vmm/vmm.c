/* SPDX-License-Identifier: MIT */
/* A VMM's object, and the calls of it that wait: open, look, hold, close. */
#include "vmm/vmm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "wire/failure.h"
#include "wire/handshake.h"
#include "wire/own.h"
#include "wire/packets.h"
#include "wire/poll.h"
#include "wire/requests.h"

/* ------------------------------------------------------- beginning and end */

/* Consumes `socket`, or fails as connection_dial() has, which has returned it. On success
 * `vmm` gets an object without a helper. */
static int vmm_new(struct fdset_vmm **vmm, int socket, const char *path, const char *name) {
    struct identity identity = {FDSET__V1__ROLE__ROLE_VMM, path, name, NULL};
    int error;
    struct fdset_vmm *new = connection_new(sizeof(*new), socket, &identity, &error);

    if (!new)
        return error;
    leases_init(&new->leases);
    submissions_clear(&new->submissions);
    new->helper = (struct spawned){-1, -1, false};
    *vmm = new;
    return 0;
}

int fdset_vmm_spawn(struct fdset_vmm **vmm, const struct fdset_spawn_options *options) {
    NO_CANCELLATION;
    struct fdset_spawn_options ours = {0};
    struct spawned helper;
    char status[80], reason[256];
    int socket;
    *vmm = NULL;
    int error = options ? SIZED_TAKE(&ours, options) : 0;
    if (!error)
        error = helper_start(&helper, &ours, &socket);
    if (error)
        return error;
    error = vmm_new(vmm, socket, NULL, ours.name);
    if (!error) {
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): there is one where there is no error */
        (*vmm)->helper = helper;
        return 0;
    }
    snprintf(reason, sizeof(reason), "%s", fdset_error_text());
    helper_wait(&helper, status, sizeof(status));
    return fail(-error,
                "the helper %s before it was ready (%s; FDSET_HELPER_OPTIONS may give it options)",
                status, reason);
}

int fdset_vmm_attach_fd(struct fdset_vmm **vmm, int socket, const char *name) {
    NO_CANCELLATION;
    *vmm = NULL;
    return vmm_new(vmm, connection_adopt(socket), NULL, name);
}

int fdset_vmm_attach_path(struct fdset_vmm **vmm, const char *path, const char *name) {
    NO_CANCELLATION;
    *vmm = NULL;
    return vmm_new(vmm, connection_dial(path, true), path, name);
}

int fdset_vmm_set_reconnect(struct fdset_vmm *vmm, const struct fdset_reconnect *reconnect) {
    return connection_set_reconnect(&vmm->connection, reconnect);
}

void fdset_vmm_free(struct fdset_vmm *vmm) {
    NO_CANCELLATION;
    if (!vmm)
        return;
    requests_cancel(&vmm->connection);
    connection_close(&vmm->connection);
    if (connection_foreign(&vmm->connection) || vmm->helper.lingers)
        helper_forget(&vmm->helper);
    else
        helper_wait(&vmm->helper, NULL, 0);
    leases_destroy(&vmm->leases);
    free(vmm);
}

int fdset_vmm_poll_fd(struct fdset_vmm *vmm) {
    return connection_poll_fd(&vmm->connection);
}

pid_t fdset_vmm_helper_pid(const struct fdset_vmm *vmm) {
    return vmm->helper.pid;
}

int fdset_vmm_socket(const struct fdset_vmm *vmm) {
    return vmm->connection.socket;
}

int own_socket_move(struct fdset_vmm *vmm) {
    return connection_move(&vmm->connection);
}

/* ------------------------------------------------------------------- open */

int fdset_open(struct fdset_vmm *vmm, const char *path, int flags) {
    return fdset_open_wait(vmm, path, flags, 0);
}

int fdset_open_wait(struct fdset_vmm *vmm, const char *path, int flags, unsigned wait_ms) {
    Fdset__V1__Open open = FDSET__V1__OPEN__INIT;
    Fdset__V1__Request request = REQUEST(open = &open, OPEN);
    struct connection *connection = &vmm->connection;
    int error = path_check(path);
    if (error)
        return error;
    open.path = (char *)path;
    open.flags = (uint32_t)flags;
    open.wait_ms = wait_ms;
    error = connection_call(connection, &request, NULL, 0, FDSET__V1__REPLY__BODY_OPENED);
    if (error)
        return error;

    Fdset__V1__Opened opened = *connection->reply->opened;
    uint64_t generation = connection->generation;
    int fd = -1;
    error = reply_check_descriptors(connection, 1);
    if (!error)
        fd = packet_descriptors_take(&connection->descriptors, 0);
    reply_release(connection);
    if (!error)
        return lease_accept(vmm, &opened, generation, fd, flags);
    lease_tell_closed(vmm, (struct lease_id){opened.lease, generation});
    return error;
}

/* -------------------------------------------------------------------- look */

/* Rounded down, also before 1970. */
static struct timespec time_read(int64_t nanoseconds) {
    const int64_t second = 1000000000;
    struct timespec time = {.tv_sec = nanoseconds / second, .tv_nsec = nanoseconds % second};

    if (time.tv_nsec < 0) {
        time.tv_nsec += second;
        time.tv_sec--;
    }
    return time;
}

static void status_read(struct stat *status, const Fdset__V1__Looked *looked) {
    *status = (struct stat){
        .st_mode = looked->mode,
        .st_dev = looked->device,
        .st_ino = looked->inode,
        .st_rdev = looked->device_number,
        .st_nlink = looked->links,
        .st_uid = looked->uid,
        .st_gid = looked->gid,
        .st_size = (off_t)looked->size,
        .st_blocks = (blkcnt_t)looked->blocks,
        .st_blksize = (blksize_t)looked->block_size,
        .st_atim = time_read(looked->accessed_ns),
        .st_mtim = time_read(looked->modified_ns),
        .st_ctim = time_read(looked->changed_ns),
    };
}

int fdset_look(struct fdset_vmm *vmm, const char *path, struct fdset_look_result *result) {
    Fdset__V1__Look look = FDSET__V1__LOOK__INIT;
    Fdset__V1__Request request = REQUEST(look = &look, LOOK);
    struct connection *connection = &vmm->connection;
    int error = path_check(path);
    if (error)
        return error;
    look.path = (char *)path;
    error = connection_call(connection, &request, NULL, 0, FDSET__V1__REPLY__BODY_LOOKED);
    if (error)
        return error;
    result->modes = connection->reply->looked->modes;
    status_read(&result->status, connection->reply->looked);
    reply_release(connection);
    return 0;
}

/* -------------------------------------------------------------------- hold */

static int call_done(struct fdset_vmm *vmm, Fdset__V1__Request *request) {
    int error = connection_call(&vmm->connection, request, NULL, 0, FDSET__V1__REPLY__BODY_DONE);
    if (!error)
        reply_release(&vmm->connection);
    return error;
}

int fdset_hold(struct fdset_vmm *vmm, const char *path) {
    Fdset__V1__Hold hold = FDSET__V1__HOLD__INIT;
    Fdset__V1__Request request = REQUEST(hold = &hold, HOLD);
    int error = path_check(path);
    hold.path = (char *)path;
    return error ? error : call_done(vmm, &request);
}

int fdset_unhold(struct fdset_vmm *vmm, const char *path) {
    Fdset__V1__Unhold unhold = FDSET__V1__UNHOLD__INIT;
    Fdset__V1__Request request = REQUEST(unhold = &unhold, UNHOLD);
    int error = path_check(path);
    unhold.path = (char *)path;
    return error ? error : call_done(vmm, &request);
}

/* ------------------------------------------------------------------ close */

static int close_plainly(int fd) {
    return close_all_the_same(fd) < 0 ? fail(errno, "cannot close descriptor %d: %m", fd) : 0;
}

/* `fd` is no lease any more, and is closed where `close` says so. The helper is told, and with
 * `wait` waited for; but in a child, which has no lease, another thread of the parent's may have
 * the lock. */
static int leave(struct fdset_vmm *vmm, int fd, bool close, bool wait) {
    struct counted_lease *lease = NULL;
    struct lease_id ended = {0};

    if (!connection_foreign(&vmm->connection))
        lease = leases_take(&vmm->leases, fd);
    int result = close ? close_plainly(fd) : 0;
    if (lease)
        ended = leases_end(&vmm->leases, lease);
    if (ended.id)
        leases_tell_closed(vmm, ended.generation, &ended.id, 1, wait);
    return result;
}

int fdset_close(struct fdset_vmm *vmm, int fd) {
    return leave(vmm, fd, true, false);
}

int fdset_close_wait(struct fdset_vmm *vmm, int fd) {
    return leave(vmm, fd, true, true);
}

void fdset_forget(struct fdset_vmm *vmm, int fd) {
    leave(vmm, fd, false, false);
}

void own_forget_wait(struct fdset_vmm *vmm, int fd) {
    leave(vmm, fd, false, true);
}

uint64_t fdset_lease(struct fdset_vmm *vmm, int fd) {
    if (connection_foreign(&vmm->connection))
        return 0;
    struct lease_id lease = leases_find(&vmm->leases, fd);
    LOCKED(vmm->connection.lock);
    return lease.generation == vmm->connection.generation ? lease.id : 0;
}

int fdset_duplicated(struct fdset_vmm *vmm, int fd, int copy) {
    struct lease_id stale;
    if (connection_foreign(&vmm->connection))
        return 0;
    int error = leases_share(&vmm->leases, fd, copy, &stale);
    lease_tell_closed(vmm, stale);
    return error ? fail(-error, "cannot keep count of descriptor %d: %m", copy) : 0;
}

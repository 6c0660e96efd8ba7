/* SPDX-License-Identifier: MIT */
/* A VMM's object, and the calls of it that wait: open, hold, close. */
#include "vmm/vmm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "feature.h"
#include "wire/failure.h"
#include "wire/handshake.h"
#include "wire/own.h"
#include "wire/packets.h"
#include "wire/poll.h"
#include "wire/reconnect.h"
#include "wire/requests.h"

/* ------------------------------------------------------- beginning and end */

/* Consumes `socket`, or fails as connection_dial() has, which has returned it. On success
 * `vmm` gets an object without a helper. */
static int vmm_new(struct fdset_vmm **vmm, int socket, const char *path, const char *name) {
    struct identity identity = {FDSET__V1__ROLE__ROLE_VMM, path, name, NULL};
    struct fdset_vmm *new = calloc(1, sizeof(*new));

    if (!new) {
        close(socket);
        return fail(ENOMEM, "out of memory");
    }
    int error = connection_open(&new->connection, socket, &identity);
    if (error) {
        free(new);
        return error;
    }
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
    uint32_t generation = connection->generation;
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

/* `fd` is no lease any more, and is closed where `close` says so. `ended` is the lease that
 * the helper is to be told of, or none. */
static int leave(struct fdset_vmm *vmm, int fd, bool close, struct lease_id *ended) {
    struct counted_lease *lease = NULL;
    if (!connection_foreign(&vmm->connection))
        lease = leases_take(&vmm->leases, fd);
    int result = close ? close_plainly(fd) : 0;
    *ended = lease ? leases_end(&vmm->leases, lease) : (struct lease_id){0};
    return result;
}

int fdset_close(struct fdset_vmm *vmm, int fd) {
    struct lease_id ended;
    int result = leave(vmm, fd, true, &ended);
    lease_tell_closed(vmm, ended);
    return result;
}

/* A helper that has gone has let go of its locks; and in a child, which has no lease, another
 * thread of the parent's may have the lock. */
static void tell_closed_and_wait(struct fdset_vmm *vmm, struct lease_id lease) {
    Fdset__V1__Close closed = FDSET__V1__CLOSE__INIT;
    Fdset__V1__Request request = REQUEST(close = &closed, CLOSE);
    struct connection *connection = &vmm->connection;
    bool unsent;

    if (!lease.id)
        return;
    closed.leases = &lease.id;
    closed.n_leases = 1;
    pthread_mutex_lock(&connection->lock);
    bool current = lease.generation == connection->generation && !connection->broken;
    bool answers = connection->features & FEATURE_BIT(CLOSE_ANSWER);
    bool answered =
        current && answers && request_exchange(connection, &request, NULL, 0, &unsent) == 0;
    pthread_mutex_unlock(&connection->lock);
    if (answered)
        reply_release(connection);
    if (!answers)
        lease_tell_closed(vmm, lease);
}

int fdset_close_wait(struct fdset_vmm *vmm, int fd) {
    struct lease_id ended;
    int result = leave(vmm, fd, true, &ended);

    tell_closed_and_wait(vmm, ended);
    return result;
}

void own_forget_wait(struct fdset_vmm *vmm, int fd) {
    struct lease_id ended;

    leave(vmm, fd, false, &ended);
    tell_closed_and_wait(vmm, ended);
}

uint32_t fdset_lease(struct fdset_vmm *vmm, int fd) {
    if (connection_foreign(&vmm->connection))
        return 0;
    struct lease_id lease = leases_find(&vmm->leases, fd);
    pthread_mutex_lock(&vmm->connection.lock);
    bool current = lease.generation == vmm->connection.generation;
    pthread_mutex_unlock(&vmm->connection.lock);
    return current ? lease.id : 0;
}

int fdset_duplicated(struct fdset_vmm *vmm, int fd, int copy) {
    struct lease_id stale;
    if (connection_foreign(&vmm->connection))
        return 0;
    int error = leases_share(&vmm->leases, fd, copy, &stale);
    lease_tell_closed(vmm, stale);
    return error ? fail(-error, "cannot keep count of descriptor %d: %m", copy) : 0;
}

void fdset_forget(struct fdset_vmm *vmm, int fd) {
    struct lease_id ended;
    leave(vmm, fd, false, &ended);
    lease_tell_closed(vmm, ended);
}

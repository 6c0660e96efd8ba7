/* SPDX-License-Identifier: MIT */
/* What all ways of opening share: a path is checked, several opens become one packet, and a
 * received descriptor becomes a lease. */
#include "vmm/vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "feature.h"
#include "wire/failure.h"
#include "wire/packets.h"
#include "wire/requests.h"

int path_check(const char *path) {
    if (!path)
        return fail(EFAULT, "no path is given");
    if (strlen(path) > LONGEST_PATH)
        return fail(EINVAL, "not a set's path, which has at most %zu bytes: it has %zu",
                    LONGEST_PATH, strlen(path));
    return 0;
}

int close_all_the_same(int fd) {
    return (int)syscall(SYS_close, fd);
}

void leases_tell_closed(struct fdset_vmm *vmm, uint64_t generation, uint64_t *leases, size_t count,
                        bool wait) {
    Fdset__V1__Close closed = FDSET__V1__CLOSE__INIT;
    Fdset__V1__Request request = REQUEST(close = &closed, CLOSE);
    struct connection *connection = &vmm->connection;
    bool answered = false, unsent;

    closed.leases = leases;
    closed.n_leases = count;
    pthread_mutex_lock(&connection->lock);
    bool current = connection->generation == generation && !connection->broken;
    if (current && wait && connection->features & FEATURE_BIT(CLOSE_ANSWER))
        answered = request_exchange(connection, &request, NULL, 0, &unsent) == 0;
    else if (current && request_send(connection, &request, NULL, 0, NULL) == -EAGAIN)
        request_send_patiently(connection, &request, NULL, 0, NULL);
    pthread_mutex_unlock(&connection->lock);
    if (answered)
        reply_release(connection);
}

void lease_tell_closed(struct fdset_vmm *vmm, struct lease_id lease) {
    if (lease.id)
        leases_tell_closed(vmm, lease.generation, &lease.id, 1, false);
}

/* What open(2) does by O_TRUNC: nothing where it is not a regular file. */
static int truncate_regular(int fd) {
    struct stat status;
    int result;
    do {
        result = ftruncate(fd, 0);
    } while (result < 0 && errno == EINTR);
    if (result == 0)
        return 0;
    int error = errno;
    if (error == EINVAL && fstat(fd, &status) == 0 && !S_ISREG(status.st_mode))
        return 0;
    return fail(error, "the file was opened but cannot be truncated: %m");
}

/* Makes a received descriptor what the caller asked for. */
static int lease_prepare(struct fdset_vmm *vmm, struct lease_id lease, bool truncate, int fd,
                         int flags) {
    int error = truncate ? truncate_regular(fd) : 0;

    if (error)
        return error;
    /* It arrived with FD_CLOEXEC. */
    if (!(flags & O_CLOEXEC) && fcntl(fd, F_SETFD, 0) < 0)
        return fail(errno, "cannot clear FD_CLOEXEC: %m");
    struct lease_id stale;
    if (leases_put(&vmm->leases, fd, lease, &stale) < 0)
        return fail(ENOMEM, "out of memory");
    lease_tell_closed(vmm, stale);
    return 0;
}

int lease_accept(struct fdset_vmm *vmm, const Fdset__V1__Opened *opened, uint64_t generation,
                 int fd, int flags) {
    struct lease_id lease = {opened->lease, generation};
    int error = lease_prepare(vmm, lease, opened->truncate, fd, flags);
    if (!error)
        return fd;
    close_all_the_same(fd);
    lease_tell_closed(vmm, lease);
    return error;
}

/* ---------------------------------------------- several opens in one packet */

/* What the request takes around the opens. */
#define REQUEST_BYTES 64

/* What an Open of OpenMany takes at most beside its path: three lengths or fields of
 * one or two bytes, and flags of up to six. */
#define OPEN_BYTES 12

void batch_clear(struct batch *batch) {
    fdset__v1__open_many__init(&batch->message);
    batch->message.opens = batch->pointers;
    batch->bytes = REQUEST_BYTES;
}

bool batch_add(struct batch *batch, const char *path, size_t length, int flags) {
    size_t count = batch->message.n_opens, bytes = batch->bytes + length + OPEN_BYTES;
    if (count == FDSET_MAX_OPENS || bytes > FDSET_MAX_PACKET_BYTES)
        return false;
    Fdset__V1__Open *open = batch->pointers[count] = &batch->opens[count];
    fdset__v1__open__init(open);
    open->path = (char *)path;
    open->flags = (uint32_t)flags;
    batch->bytes = bytes;
    batch->message.n_opens++;
    return true;
}

/* Where very many have failed, the helper's words for all of them do not fit in a packet. */
static const char *error_text(const Fdset__V1__Error *error) {
    const char *general = *error->text ? NULL : strerrordesc_np(error->error_number);
    return general ? general : error->text;
}

int batch_result(const Fdset__V1__OpenedMany__Result *result, Fdset__V1__Opened *opened,
                 const char **text) {
    if (result->outcome_case == FDSET__V1__OPENED_MANY__RESULT__OUTCOME_OPENED &&
        result->opened->lease) {
        *opened = *result->opened;
        return 0;
    }
    if (result->outcome_case == FDSET__V1__OPENED_MANY__RESULT__OUTCOME_ERROR &&
        result->error->error_number > 0) {
        *text = error_text(result->error);
        return -result->error->error_number;
    }
    *text = "fdset-helper left an open without an answer";
    return -EPROTO;
}

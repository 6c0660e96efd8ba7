/* SPDX-License-Identifier: MIT */
/* fdset_open_many(). */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/vmm.h"
#include "wire/failure.h"
#include "wire/packets.h"
#include "wire/requests.h"

/* One packet's worth of opens, and what became of them. */
struct exchange {
    struct batch batch;
    uint64_t generation;                       /* of the connection that brought the results */
    Fdset__V1__Opened opened[FDSET_MAX_OPENS]; /* lease 0: refused */
    uint64_t leases[FDSET_MAX_OPENS];
};

/* Takes as many requests from the front as fit in a packet; stops at one whose
 * path cannot be sent. */
static void exchange_fill(struct exchange *exchange, const struct fdset_open_request *requests,
                          size_t count) {
    batch_clear(&exchange->batch);
    for (size_t i = 0; i < count && requests[i].path; i++) {
        size_t length = strlen(requests[i].path);

        if (length > LONGEST_PATH ||
            !batch_add(&exchange->batch, requests[i].path, length, requests[i].flags))
            return;
    }
}

/* Reads the results into exchange->opened and requests[].fd. Returns how many
 * descriptors should have come with them, or -errno. */
static int exchange_read(struct exchange *exchange, const Fdset__V1__OpenedMany *many,
                         struct fdset_open_request *requests) {
    size_t count = exchange->batch.message.n_opens;
    int succeeded = 0;
    if (many->n_results != count)
        return fail(EPROTO, "fdset-helper answered %zu opens where %zu were asked", many->n_results,
                    count);
    for (size_t i = 0; i < count; i++) {
        const char *text;
        exchange->opened[i].lease = 0;
        int error = batch_result(many->results[i], &exchange->opened[i], &text);
        if (error)
            requests[i].fd = fail(-error, "%s", text);
        else
            exchange->leases[succeeded++] = exchange->opened[i].lease;
    }
    return succeeded;
}

/* The exchange of one packet. On success requests[].fd of those that worked are
 * descriptors that are not leases yet. */
static int exchange_make(struct fdset_vmm *vmm, struct exchange *exchange,
                         struct fdset_open_request *requests) {
    Fdset__V1__Request request = REQUEST(open_many = &exchange->batch.message, OPEN_MANY);
    struct connection *connection = &vmm->connection;
    int error = connection_call(connection, &request, NULL, 0, FDSET__V1__REPLY__BODY_OPENED_MANY);
    if (error)
        return error;

    size_t next = 0;
    exchange->generation = connection->generation;
    int succeeded = exchange_read(exchange, connection->reply->opened_many, requests);
    error = succeeded < 0 ? succeeded : reply_check_descriptors(connection, (size_t)succeeded);
    for (size_t i = 0; !error && i < exchange->batch.message.n_opens; i++)
        if (exchange->opened[i].lease)
            requests[i].fd = packet_descriptors_take(&connection->descriptors, next++);
    reply_release(connection);
    if (error && succeeded > 0)
        leases_tell_closed(vmm, exchange->generation, exchange->leases, (size_t)succeeded, false);
    return error;
}

/* Opens what fits in a packet from the front. Returns how many it has dealt
 * with, or -errno where the exchange failed. */
static int open_some(struct fdset_vmm *vmm, struct exchange *exchange,
                     struct fdset_open_request *requests, size_t count) {
    exchange_fill(exchange, requests, count);
    if (exchange->batch.message.n_opens == 0) {
        requests[0].fd = path_check(requests[0].path);
        return 1;
    }
    int error = exchange_make(vmm, exchange, requests);
    if (error)
        return error;
    for (size_t i = 0; i < exchange->batch.message.n_opens; i++) {
        struct fdset_open_request *request = &requests[i];
        if (exchange->opened[i].lease)
            request->fd = lease_accept(vmm, &exchange->opened[i], exchange->generation, request->fd,
                                       request->flags);
        else if (request->fd == -EAGAIN)
            /* The member is being settled, and only a single open waits for that. */
            request->fd = fdset_open(vmm, request->path, request->flags);
    }
    return (int)exchange->batch.message.n_opens;
}

/* All or none: where an exchange fails, what had been opened before is closed again. */
static int open_all(struct fdset_vmm *vmm, struct fdset_open_request *requests, size_t count) {
    size_t done = 0;
    struct exchange *exchange = malloc(sizeof(*exchange));
    int succeeded = 0, result = exchange ? 0 : fail(ENOMEM, "out of memory");

    while (exchange && result >= 0 && done < count) {
        result = open_some(vmm, exchange, requests + done, count - done);
        done += result > 0 ? (size_t)result : 0;
    }
    free(exchange);
    for (size_t i = 0; i < count; i++) {
        if (result < 0 && i < done && requests[i].fd >= 0)
            fdset_close(vmm, requests[i].fd);
        if (result < 0)
            requests[i].fd = result;
        succeeded += requests[i].fd >= 0;
    }
    return result < 0 ? result : succeeded;
}

/* Those of a caller who knows more of the structure. */
static int open_others(struct fdset_vmm *vmm, char *theirs, size_t count, size_t size) {
    struct fdset_open_request *ours = calloc(count, sizeof(*ours));
    int error = ours ? 0 : fail(ENOMEM, "out of memory"), result = 0;

    if (size < sizeof(*ours))
        error = fail(EINVAL, "an open cannot be asked for in %zu bytes", size);
    for (size_t i = 0; ours && !error && i < count; i++)
        error = sized_take(&ours[i], sizeof(*ours), theirs + i * size, size);
    if (ours && !error)
        result = open_all(vmm, ours, count);
    /* The places are not known where the size is none. */
    for (size_t i = 0; error != -EINVAL && i < count; i++)
        ((struct fdset_open_request *)(void *)(theirs + i * size))->fd =
            ours && !error ? ours[i].fd : error;
    free(ours);
    return error ? error : result;
}

int fdset_open_many(struct fdset_vmm *vmm, struct fdset_open_request *requests, size_t count) {
    size_t size = count ? sized_stride(requests, sizeof(*requests)) : sizeof(*requests);

    if (count > INT_MAX)
        return fail(E2BIG, "more opens than can be counted");
    return size == sizeof(*requests) ? open_all(vmm, requests, count)
                                     : open_others(vmm, (char *)requests, count, size);
}

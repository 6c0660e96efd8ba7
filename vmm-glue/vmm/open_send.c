/* SPDX-License-Identifier: MIT */
/* Opens for event loops, on their way out.
 *
 * An open that is submitted while another has no answer yet is not sent at once: it
 * waits for those that follow it, and they travel as one packet. The packet
 * is sent when a thread dispatches, when it is full, and before any other request; as
 * long as it is not, who polls is told to dispatch. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/vmm.h"
#include "wire/failure.h"
#include "wire/packets.h"
#include "wire/requests.h"

typedef int (*sender)(struct connection *connection, Fdset__V1__Request *request,
                      const int *descriptors, size_t count, struct waiter *waiter);

/* In a packet of its own. */
static int send_one(struct submitted_open *submitted, struct connection *connection, sender send) {
    Fdset__V1__Open open = FDSET__V1__OPEN__INIT;
    Fdset__V1__Request request = REQUEST(open = &open, OPEN);

    open.path = submitted->path;
    open.flags = (uint32_t)submitted->flags;
    open.wait_ms = submitted->wait_ms;
    return send(connection, &request, NULL, 0, &submitted->request.waiter);
}

/* Gives back a lease of which no descriptor has come. */
static int send_close(struct submitted_open *submitted, struct connection *connection) {
    Fdset__V1__Close closed = FDSET__V1__CLOSE__INIT;
    Fdset__V1__Request request = REQUEST(close = &closed, CLOSE);

    closed.n_leases = submitted->lease.lease != 0;
    closed.leases = &submitted->lease.lease;
    int error = closed.n_leases ? request_send(connection, &request, NULL, 0, NULL) : 0;
    if (error != -EAGAIN)
        submitted->lease.lease = 0;
    return error;
}

static void count(struct submitted_open *submitted) {
    submitted->counted = !submitted->alone && submitted->wait_ms == 0;
    submitted->vmm->submissions.under_way += submitted->counted;
}

/* One open goes as what it is: only so it waits while its member is being settled. */
static int send_again_or_together(struct submitted *request, struct connection *connection) {
    struct submitted_open *submitted = (struct submitted_open *)request;
    struct submissions *all = &submitted->vmm->submissions;
    Fdset__V1__Request packet = REQUEST(open_many = &all->batch.message, OPEN_MANY);
    int error = send_close(submitted, connection);

    if (error != -EAGAIN)
        error = submitted->with ? request_send(connection, &packet, NULL, 0, &request->waiter)
                                : send_one(submitted, connection, request_send);
    if (error == -EAGAIN)
        return error;
    if (!error)
        count(submitted);
    if (!error && all->first == submitted)
        submissions_clear(all);
    return error;
}

/* --------------------------------------------------------------- submitting */

/* Called with the lock held. */
static bool something_is_submitted(const struct connection *connection) {
    const struct waiter *waiter = connection->waiters;

    while (waiter && !waiter->arrived)
        waiter = waiter->next;
    return waiter;
}

/* What may take long goes by itself; and so does the first, so that a single open is no
 * later for the others. Who waits inside of dispatching already would not send a packet. */
static bool goes_at_once(const struct fdset_vmm *vmm, const struct submitted_open *submitted) {
    const struct submissions *all = &vmm->submissions;

    return submitted->wait_ms > 0 || vmm->connection.dispatching > 0 ||
           (all->under_way == 0 && !all->first);
}

/* Called with the lock held, as the next ones. */
static int submit_at_once(struct submitted_open *submitted, struct connection *connection) {
    const struct waiter *waiter = &submitted->request.waiter;
    /* Where other threads' calls alone have filled the socket there is no outcome
     * that would tell when to try again; but it will not take long. */
    bool patient = !connection->unsent.first && !something_is_submitted(connection);
    int error = send_one(submitted, connection, patient ? request_send_patiently : request_send);

    if (error)
        return send_error(error);
    if (waiter->failed)
        return connection_say_broken(connection, waiter->failed);
    count(submitted);
    return 0;
}

static int submit_to_packet(struct submitted_open *submitted, struct connection *connection) {
    struct submissions *all = &submitted->vmm->submissions;
    size_t length = strlen(submitted->path);
    bool fits = batch_add(&all->batch, submitted->path, length, submitted->flags);

    if (!fits && unsent_send(connection) == 0)
        fits = batch_add(&all->batch, submitted->path, length, submitted->flags);
    if (!fits)
        return send_error(-EAGAIN);
    if (all->first) {
        all->last->with = submitted;
    } else {
        all->first = submitted;
        unsent_put(connection, &submitted->request);
    }
    all->last = submitted;
    return 0;
}

static int submit(struct submitted_open *submitted) {
    struct fdset_vmm *vmm = submitted->vmm;
    struct connection *connection = &vmm->connection;
    LOCKED(connection->lock);

    if (connection->broken)
        return connection_refuse(connection);
    return goes_at_once(vmm, submitted) ? submit_at_once(submitted, connection)
                                        : submit_to_packet(submitted, connection);
}

int fdset_open_submit(struct fdset_vmm *vmm, const char *path, int flags, unsigned wait_ms,
                      fdset_opened_function opened, void *context) {
    NO_CANCELLATION;
    int error = path_check(path);

    if (error)
        return error;
    if (connection_inherited(&vmm->connection))
        return connection_say_foreign();
    size_t length = strlen(path) + 1;
    struct submitted_open *submitted = malloc(sizeof(*submitted) + length);
    if (!submitted)
        return fail(ENOMEM, "out of memory");
    *submitted = (struct submitted_open){
        .request = {.waiter.arrived = submitted_arrived,
                    .send = send_again_or_together,
                    .give_out = submitted_give_out},
        .vmm = vmm,
        .opened = opened,
        .context = context,
        .flags = flags,
        .wait_ms = wait_ms,
        .fd = -1,
    };
    memcpy(submitted->path, path, length);
    error = submit(submitted);
    if (error)
        free(submitted);
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it is in a list where there is no error */
    return error;
}

int fdset_vmm_dispatch(struct fdset_vmm *vmm, int timeout_ms) {
    return requests_dispatch(&vmm->connection, timeout_ms);
}

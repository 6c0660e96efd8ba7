/* SPDX-License-Identifier: MIT */
/* Opens for event loops, on their way back: who reads a reply keeps the outcomes, and
 * who dispatches gives them out. */
#include <errno.h>
#include <stdlib.h>

#include "vmm/vmm.h"
#include "wire/failure.h"
#include "wire/packets.h"
#include "wire/requests.h"

void submissions_clear(struct submissions *all) {
    all->first = NULL;
    batch_clear(&all->batch);
}

static void fail_all(struct submitted_open *submitted, int error) {
    while (submitted) {
        struct submitted_open *next = submitted->with;

        request_fail(&submitted->request, error, fdset_error_text());
        request_done(&submitted->vmm->connection, &submitted->request);
        submitted = next;
    }
}

static int one_arrived(struct submitted_open *submitted, struct connection *connection) {
    int error = reply_check(connection, FDSET__V1__REPLY__BODY_OPENED);

    if (error)
        return error;
    submitted->lease = *connection->reply->opened;
    error = reply_check_descriptors(connection, 1);
    if (error)
        return error;
    submitted->fd = packet_descriptors_take(&connection->descriptors, 0);
    request_done(connection, &submitted->request);
    return 0;
}

/* Reads the results of a packet of opens. Returns how many of them are leases. What is
 * to be asked again, because its member is being settled, has neither a lease nor an error. */
static size_t results_read(const Fdset__V1__OpenedMany *many, struct submitted_open *submitted) {
    size_t leases = 0;

    for (size_t i = 0; submitted; submitted = submitted->with, i++) {
        const char *text;
        int error = batch_result(many->results[i], &submitted->lease, &text);

        leases += !error;
        if (error && error != -EAGAIN)
            request_fail(&submitted->request, error, text);
    }
    return leases;
}

/* Gives each its descriptor. Where this process has no room for all of them, the first
 * have come: they are kept, as their sets may be there for one open only, and the others
 * are to be asked for again: there may be room for one. */
static void descriptors_take(struct submitted_open *submitted, struct connection *connection,
                             size_t leases) {
    size_t next_fd = 0;
    int error = reply_check_descriptors(connection, leases);
    bool may_take = !error || error == -EMFILE;

    for (struct submitted_open *next; submitted; submitted = next) {
        next = submitted->with;
        submitted->with = NULL;
        submitted->generation = connection->generation;
        if (submitted->lease.lease && !may_take)
            request_fail(&submitted->request, error, fdset_error_text());
        else if (submitted->lease.lease && next_fd < connection->descriptors.count)
            submitted->fd = packet_descriptors_take(&connection->descriptors, next_fd++);
        submitted->alone = !submitted->request.error && submitted->fd < 0;
        if (submitted->alone)
            unsent_put(connection, &submitted->request);
        else
            request_done(connection, &submitted->request);
    }
}

static int many_arrived(struct submitted_open *first, struct connection *connection) {
    const Fdset__V1__OpenedMany *many = connection->reply->opened_many;
    int error = reply_check(connection, FDSET__V1__REPLY__BODY_OPENED_MANY);
    size_t together = 0;

    if (error)
        return error;
    for (const struct submitted_open *each = first; each; each = each->with)
        together++;
    if (many->n_results != together)
        return fail(EPROTO, "fdset-helper answered another number of opens than was asked");
    descriptors_take(first, connection, results_read(many, first));
    return 0;
}

void submitted_arrived(struct waiter *waiter, struct connection *connection) {
    struct submitted_open *first = (struct submitted_open *)waiter;
    struct submissions *all = &first->vmm->submissions;
    int error;

    all->under_way -= first->counted;
    if (all->first == first)
        submissions_clear(all);
    first->generation = connection->generation;
    if (waiter->failed)
        error = connection_say_broken(connection, waiter->failed);
    else
        error = first->with ? many_arrived(first, connection) : one_arrived(first, connection);
    if (error)
        fail_all(first, error);
}

void submitted_give_out(struct submitted *request) {
    struct submitted_open *submitted = (struct submitted_open *)request;
    struct fdset_vmm *vmm = submitted->vmm;
    int result;

    if (request->error) {
        lease_tell_closed(vmm, (struct lease_id){submitted->lease.lease, submitted->generation});
        result = request_say_failure(request);
    } else {
        result = lease_accept(vmm, &submitted->lease, submitted->generation, submitted->fd,
                              submitted->flags);
    }
    submitted->opened(vmm, result, submitted->context);
    free(request->text);
    free(submitted);
}

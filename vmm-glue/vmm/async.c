/* SPDX-License-Identifier: MIT */
/* Opens for event loops, on their way back: who reads a reply keeps the outcomes, and
 * who dispatches gives them out. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/vmm.h"
#include "wire/failure.h"

/* ------------------------------------------------------------------ replies */

/* What a reply says that does not have what was asked for. */
static int reply_error(const Fdset__V1__Reply *reply, const char **text) {
    if (reply->body_case == FDSET__V1__REPLY__BODY_ERROR && reply->error->error_number > 0) {
        *text = reply->error->text;
        return -reply->error->error_number;
    }
    *text = "fdset-helper answered something else than was asked";
    return -EPROTO;
}

void submitted_arrived(struct waiter *waiter, struct connection *connection) {
    struct submitted *submitted = (struct submitted *)waiter;
    struct submissions *all = &submitted->vmm->submissions;
    const Fdset__V1__Reply *reply = connection->reply;
    const char *text;
    int error = 0;
    submitted->generation = connection->generation;
    all->under_way -= !submitted->alone && submitted->wait_ms == 0;
    if (waiter->failed) {
        error = connection_say_broken(connection, waiter->failed);
        text = fdset_error_text();
    } else if (reply->body_case == FDSET__V1__REPLY__BODY_OPENED) {
        submitted->lease = *reply->opened;
        error = connection_check_descriptors(connection, 1);
        text = fdset_error_text();
    } else {
        error = reply_error(reply, &text);
    }
    if (error)
        submitted_fail(submitted, error, text);
    else
        submitted->fd = packet_descriptors_take(&connection->descriptors, 0);
    submitted_put(&all->done, submitted);
    submissions_changed(submitted->vmm);
}

/* Reads the results of a packet of opens. Returns how many of them are leases. What is
 * to be asked again, because its member is being settled, has neither a lease nor an error. */
static size_t results_read(const Fdset__V1__OpenedMany *many, struct submitted *submitted) {
    size_t leases = 0;
    for (size_t i = 0; submitted; submitted = submitted->next, i++) {
        const char *text;
        int error = batch_result(many->results[i], &submitted->lease, &text);
        leases += !error;
        if (error && error != -EAGAIN)
            submitted_fail(submitted, error, text);
    }
    return leases;
}

/* Gives each its descriptor. Where this process has no room for all of them, the first
 * have come: they are kept, as their sets may be there for one open only, and the others
 * are to be asked for again: there may be room for one. */
static void descriptors_take(struct submitted *submitted, struct connection *connection,
                             size_t leases) {
    struct submissions *all = &submitted->vmm->submissions;
    size_t next_fd = 0;
    int error = connection_check_descriptors(connection, leases);
    bool may_take = !error || error == -EMFILE;
    for (struct submitted *next; submitted; submitted = next) {
        next = submitted->next;
        submitted->generation = connection->generation;
        if (submitted->lease.lease && !may_take)
            submitted_fail(submitted, error, fdset_error_text());
        else if (submitted->lease.lease && next_fd < connection->descriptors.count)
            submitted->fd = packet_descriptors_take(&connection->descriptors, next_fd++);
        submitted->alone = !submitted->error && submitted->fd < 0;
        submitted_put(submitted->alone ? &all->again : &all->done, submitted);
    }
}

void submitted_many_arrived(struct waiter *waiter, struct connection *connection) {
    struct submitted *first = (struct submitted *)waiter;
    struct fdset_vmm *vmm = first->vmm;
    const Fdset__V1__Reply *reply = connection->reply;
    const char *text;
    vmm->submissions.under_way--;
    if (waiter->failed) {
        int error = connection_say_broken(connection, waiter->failed);
        submitted_fail_all(first, error, fdset_error_text());
    } else if (reply->body_case != FDSET__V1__REPLY__BODY_OPENED_MANY) {
        int error = reply_error(reply, &text);
        submitted_fail_all(first, error, text);
    } else if (reply->opened_many->n_results != first->together) {
        submitted_fail_all(first, -EPROTO,
                           "fdset-helper answered another number of opens than was asked");
    } else {
        size_t leases = results_read(reply->opened_many, first);
        descriptors_take(first, connection, leases);
    }
    submissions_changed(vmm);
}

/* -------------------------------------------------------------- dispatching */

/* Called with the lock held: takes all outcomes that are there. */
static struct submitted *take_done(struct fdset_vmm *vmm) {
    struct submitted *done = submitted_take_all(&vmm->submissions.done);
    submissions_changed(vmm);
    return done;
}

static void deliver(struct submitted *submitted) {
    struct fdset_vmm *vmm = submitted->vmm;
    int result;
    if (submitted->error) {
        if (submitted->lease.lease)
            connection_tell_closed(&vmm->connection, submitted->generation, &submitted->lease.lease,
                                   1);
        result = fail(-submitted->error, "%s", submitted->text ? submitted->text : "");
    } else {
        result = lease_accept(vmm, &submitted->lease, submitted->generation, submitted->fd,
                              submitted->flags);
    }
    submitted->opened(vmm, result, submitted->context);
    free(submitted->text);
    free(submitted);
}

static int deliver_all(struct submitted *done) {
    int count = 0;
    while (done) {
        struct submitted *next = done->next;
        deliver(done);
        done = next;
        count++;
    }
    return count;
}

/* Called with the lock held. Returns as connection_pump(). */
static int wait_for_outcomes(struct fdset_vmm *vmm, const struct timespec *until) {
    struct connection *connection = &vmm->connection;
    struct submissions *all = &vmm->submissions;
    int result = 1;
    all->waiting++;
    while (result > 0) {
        bool full = connection->unsent && submissions_send(connection) < 0;
        if (all->done.first)
            break;
        result =
            full ? connection_wait_room(connection, until) : connection_pump(connection, until);
    }
    all->waiting--;
    return result;
}

/* Called without the lock: what the callbacks have submitted. */
static void send_what_was_added(struct connection *connection) {
    pthread_mutex_lock(&connection->lock);
    if (connection->unsent)
        submissions_send(connection);
    pthread_mutex_unlock(&connection->lock);
}

int fdset_vmm_dispatch(struct fdset_vmm *vmm, int timeout_ms) {
    /* Also while outcomes are given out: those not yet given would be lost. */
    NO_CANCELLATION;
    struct connection *connection = &vmm->connection;
    struct timespec point;
    const struct timespec *until = connection_until(&point, timeout_ms);
    if (connection_inherited(connection))
        return connection_say_foreign();
    struct submitted *done;
    int result;
    pthread_mutex_lock(&connection->lock);
    do {
        result = wait_for_outcomes(vmm, until);
        connection_drain(connection);
        done = take_done(vmm); /* unless another thread has, during the drain */
    } while (!done && result > 0);
    connection_pass_on(connection);
    pthread_mutex_unlock(&connection->lock);
    if (!done)
        return result;
    int count = deliver_all(done);
    send_what_was_added(connection);
    return count;
}

int fdset_vmm_poll_fd(struct fdset_vmm *vmm) {
    return connection_poll_fd(&vmm->connection);
}

/* In a child the callbacks' world is the parent's, and so may be the lock: there
 * nothing is given out. */
void submitted_cancel(struct fdset_vmm *vmm) {
    NO_CANCELLATION;
    struct connection *connection = &vmm->connection;
    if (connection_foreign(connection))
        return;
    connection_cancel(connection);
    pthread_mutex_lock(&connection->lock);
    struct submitted *done = take_done(vmm);
    pthread_mutex_unlock(&connection->lock);
    deliver_all(done);
}

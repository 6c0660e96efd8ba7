/* Opens for event loops: submitted now, dispatched when they are done. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"
#include "vmm.h"

/* An open between fdset_open_submit() and its outcome. */
struct submitted {
    struct waiter waiter;
    struct submitted *next; /* in vmm->done */
    struct fdset_vmm *vmm;
    fdset_opened_function opened;
    void *context;
    int flags;

    /* The outcome, as it came: the lease is entered by who dispatches. */
    Fdset__V1__Opened lease;
    uint32_t generation;
    int fd;
    int error;  /* -errno, 0 where there is a descriptor */
    char *text; /* owned; NULL where there is no error, or no memory to say it */
};

static void fail_submitted(struct submitted *submitted, int error, const char *text) {
    submitted->fd = -1;
    submitted->error = error;
    submitted->text = strdup(text);
}

/* Called with the lock held by whoever read the reply, or found that none will come. */
static void arrived(struct waiter *waiter, struct connection *connection) {
    struct submitted *submitted = (struct submitted *)waiter;
    struct fdset_vmm *vmm = submitted->vmm;
    const Fdset__V1__Reply *reply = connection->reply;
    submitted->generation = connection->generation;
    if (waiter->failed) {
        int error = connection_say_broken(connection, waiter->failed);
        fail_submitted(submitted, error, fdset_error_text());
    } else if (reply->body_case == FDSET__V1__REPLY__BODY_OPENED) {
        submitted->lease = *reply->opened;
        submitted->error = connection_check_descriptors(connection, 1);
        if (submitted->error)
            fail_submitted(submitted, submitted->error, fdset_error_text());
        else
            submitted->fd = packet_descriptors_take(&connection->descriptors, 0);
    } else if (reply->body_case == FDSET__V1__REPLY__BODY_ERROR && reply->error->error_number > 0) {
        fail_submitted(submitted, -reply->error->error_number, reply->error->text);
    } else {
        fail_submitted(submitted, -EPROTO, "fdset-helper answered something else than was asked");
    }
    *vmm->done_end = submitted;
    vmm->done_end = &submitted->next;
    connection_news(connection, true);
}

int fdset_open_submit(struct fdset_vmm *vmm, const char *path, int flags, unsigned wait_ms,
                      fdset_opened_function opened, void *context) {
    Fdset__V1__Open open = FDSET__V1__OPEN__INIT;
    Fdset__V1__Request request = REQUEST(open = &open, OPEN);
    int error = path_check(path);
    if (error)
        return error;
    struct submitted *submitted = malloc(sizeof(*submitted));
    if (!submitted)
        return fail(ENOMEM, "out of memory");
    *submitted = (struct submitted){.waiter.arrived = arrived,
                                    .vmm = vmm,
                                    .opened = opened,
                                    .context = context,
                                    .flags = flags,
                                    .fd = -1};
    open.path = (char *)path;
    open.flags = (uint32_t)flags;
    open.wait_ms = wait_ms;
    error = connection_submit(&vmm->connection, &request, &submitted->waiter);
    if (error)
        free(submitted);
    return error;
}

/* ------------------------------------------------------------------ outcomes */

/* Called with the lock held: takes all outcomes that are there. */
static struct submitted *take_done(struct fdset_vmm *vmm) {
    struct submitted *done = vmm->done;
    vmm->done = NULL;
    vmm->done_end = &vmm->done;
    connection_news(&vmm->connection, false);
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

int fdset_vmm_dispatch(struct fdset_vmm *vmm, int timeout_ms) {
    /* Also while outcomes are given out: those not yet given would be lost. */
    NO_CANCELLATION;
    struct connection *connection = &vmm->connection;
    struct timespec point;
    const struct timespec *until = connection_until(&point, timeout_ms);
    int result = 1;
    if (connection_foreign(connection))
        return fail(ESTALE, "the connection to fdset-helper belongs to the process that made it");
    pthread_mutex_lock(&connection->lock);
    while (!vmm->done && result > 0)
        result = connection_pump(connection, until);
    connection_drain(connection);
    struct submitted *done = take_done(vmm);
    connection_pass_on(connection);
    pthread_mutex_unlock(&connection->lock);
    return done ? deliver_all(done) : result;
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

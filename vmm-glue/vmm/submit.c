/* SPDX-License-Identifier: MIT */
/* Opens for event loops, on their way out.
 *
 * An open that is submitted while another has no answer yet is not sent at once: it
 * waits in a queue for those that follow it, and they travel as one packet. The queue
 * is sent when a thread dispatches, when it is full, and before any other request; as
 * long as it is not, who polls is told to dispatch. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/vmm.h"
#include "wire/failure.h"

/* ------------------------------------------------------------------- lists */

static void submitted_clear(struct submitted_list *list) {
    list->first = NULL;
    list->end = &list->first;
}

void submitted_put(struct submitted_list *list, struct submitted *submitted) {
    submitted->next = NULL;
    *list->end = submitted;
    list->end = &submitted->next;
}

struct submitted *submitted_take_all(struct submitted_list *list) {
    struct submitted *first = list->first;
    submitted_clear(list);
    return first;
}

static struct submitted *submitted_take_first(struct submitted_list *list) {
    struct submitted *first = list->first;
    list->first = first->next;
    if (!list->first)
        submitted_clear(list);
    return first;
}

void submissions_changed(struct fdset_vmm *vmm) {
    struct submissions *all = &vmm->submissions;
    bool unsent = all->queue.first || all->again.first;
    vmm->connection.unsent = unsent;
    connection_poll_room(&vmm->connection, unsent && all->stuck);
    connection_news(&vmm->connection, all->done.first || (unsent && !all->stuck));
}

void submitted_fail(struct submitted *submitted, int error, const char *text) {
    submitted->fd = -1;
    submitted->error = error;
    submitted->text = strdup(text);
}

void submitted_fail_all(struct submitted *submitted, int error, const char *text) {
    while (submitted) {
        struct submitted *next = submitted->next;
        submitted_fail(submitted, error, text);
        submitted_put(&submitted->vmm->submissions.done, submitted);
        submitted = next;
    }
}

/* ------------------------------------------------------------------ sending */

/* An open in a packet of its own. */
static Fdset__V1__Open single(struct submitted *submitted) {
    Fdset__V1__Open open = FDSET__V1__OPEN__INIT;
    open.path = submitted->path;
    open.flags = (uint32_t)submitted->flags;
    open.wait_ms = submitted->wait_ms;
    submitted->waiter.arrived = submitted_arrived;
    return open;
}

static int post_single(struct submitted *submitted) {
    Fdset__V1__Open open = single(submitted);
    Fdset__V1__Request request = REQUEST(open = &open, OPEN);
    return connection_post(&submitted->vmm->connection, &request, &submitted->waiter);
}

/* Gives back a lease of which no descriptor has come. */
static int post_close(struct submitted *submitted) {
    Fdset__V1__Close closed = FDSET__V1__CLOSE__INIT;
    Fdset__V1__Request request = REQUEST(close = &closed, CLOSE);
    closed.n_leases = submitted->lease.lease != 0;
    closed.leases = &submitted->lease.lease;
    int error = closed.n_leases ? connection_post(&submitted->vmm->connection, &request, NULL) : 0;
    if (error != -EAGAIN)
        submitted->lease.lease = 0;
    return error;
}

static int post_again(struct submissions *all) {
    while (all->again.first) {
        int error = post_close(all->again.first);
        if (error != -EAGAIN)
            error = post_single(all->again.first);
        if (error == -EAGAIN)
            return error;
        struct submitted *submitted = submitted_take_first(&all->again);
        if (error) {
            submitted->next = NULL;
            submitted_fail_all(submitted, error, "sending to fdset-helper failed");
        }
    }
    return 0;
}

/* One open goes as what it is: only so it waits while its member is being settled. */
static int post_queue(struct submissions *all, struct connection *connection) {
    Fdset__V1__Request request = REQUEST(open_many = &all->batch.message, OPEN_MANY);
    struct submitted *first = all->queue.first;
    int error;
    if (!first)
        return 0;
    first->together = all->batch.message.n_opens;
    first->waiter.arrived = submitted_many_arrived;
    if (first->together == 1)
        error = post_single(first);
    else
        error = connection_post(connection, &request, &first->waiter);
    if (error == -EAGAIN)
        return error;
    submitted_clear(&all->queue);
    batch_clear(&all->batch);
    if (error)
        submitted_fail_all(first, error, "sending to fdset-helper failed");
    else
        all->under_way++;
    return 0;
}

/* What cannot be sent, but for want of room, has failed. */
int submissions_send(struct connection *connection) {
    struct fdset_vmm *vmm = (struct fdset_vmm *)connection;
    struct submissions *all = &vmm->submissions;
    connection->unsent = false; /* nothing goes before what is sent here */
    int error = post_again(all);
    if (!error)
        error = post_queue(all, connection);
    all->stuck = error;
    submissions_changed(vmm);
    return error;
}

static void drop_unsent(struct connection *connection) {
    struct fdset_vmm *vmm = (struct fdset_vmm *)connection;
    struct submissions *all = &vmm->submissions;
    int error = connection_say_broken(connection, connection->broken);
    submitted_fail_all(submitted_take_all(&all->again), error, fdset_error_text());
    submitted_fail_all(submitted_take_all(&all->queue), error, fdset_error_text());
    batch_clear(&all->batch);
    all->stuck = false;
    submissions_changed(vmm);
}

/* --------------------------------------------------------------- submitting */

void submissions_init(struct fdset_vmm *vmm) {
    submitted_clear(&vmm->submissions.queue);
    submitted_clear(&vmm->submissions.again);
    submitted_clear(&vmm->submissions.done);
    batch_clear(&vmm->submissions.batch);
    vmm->connection.send_unsent = submissions_send;
    vmm->connection.drop_unsent = drop_unsent;
}

static struct submitted *submitted_new(struct fdset_vmm *vmm, const char *path, int flags,
                                       unsigned wait_ms) {
    size_t length = strlen(path) + 1;
    struct submitted *new = malloc(sizeof(*new) + length);
    if (!new)
        return NULL;
    *new = (struct submitted){.vmm = vmm, .flags = flags, .wait_ms = wait_ms, .fd = -1};
    memcpy(new->path, path, length);
    return new;
}

/* What may take long goes by itself; and so does the first, so that a single open is no
 * later for the queue. Who waits inside of dispatching already would not send a queue. */
static bool goes_at_once(const struct submissions *all, const struct submitted *submitted) {
    return submitted->wait_ms > 0 || all->waiting > 0 || (all->under_way == 0 && !all->queue.first);
}

/* Called with the lock held, as the next one. */
static int submit_at_once(struct submitted *submitted) {
    Fdset__V1__Open open = single(submitted);
    Fdset__V1__Request request = REQUEST(open = &open, OPEN);
    int error = connection_submit(&submitted->vmm->connection, &request, &submitted->waiter);
    if (!error)
        submitted->vmm->submissions.under_way += submitted->wait_ms == 0;
    return error;
}

static int submit_to_queue(struct submitted *submitted) {
    struct submissions *all = &submitted->vmm->submissions;
    bool fits = batch_add(&all->batch, submitted->path, submitted->flags);
    if (!fits && submissions_send(&submitted->vmm->connection) == 0)
        fits = batch_add(&all->batch, submitted->path, submitted->flags);
    if (!fits)
        return fail(EAGAIN, "too many opens are under way: dispatch their outcomes first");
    submitted_put(&all->queue, submitted);
    submissions_changed(submitted->vmm);
    return 0;
}

int fdset_open_submit(struct fdset_vmm *vmm, const char *path, int flags, unsigned wait_ms,
                      fdset_opened_function opened, void *context) {
    NO_CANCELLATION;
    struct connection *connection = &vmm->connection;
    int error = path_check(path);
    if (error)
        return error;
    if (connection_inherited(connection))
        return connection_say_foreign();
    struct submitted *submitted = submitted_new(vmm, path, flags, wait_ms);
    if (!submitted)
        return fail(ENOMEM, "out of memory");
    submitted->opened = opened;
    submitted->context = context;
    pthread_mutex_lock(&connection->lock);
    if (connection->broken)
        error = connection_say_broken(connection, connection->broken);
    else if (goes_at_once(&vmm->submissions, submitted))
        error = submit_at_once(submitted);
    else
        error = submit_to_queue(submitted);
    pthread_mutex_unlock(&connection->lock);
    if (error)
        free(submitted);
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it is in a list where there is no error */
    return error;
}

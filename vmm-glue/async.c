/* Opens for event loops: submitted now, dispatched when they are done. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "failure.h"
#include "vmm.h"

/* An open between fdset_open_submit() and its outcome. */
struct submitted {
    struct waiter waiter;
    struct submitted *next; /* in vmm->under_way or vmm->done */
    struct fdset_vmm *vmm;
    fdset_opened_function opened;
    void *context;
    int flags;

    /* The outcome, as it came: the lease is entered by who dispatches. */
    Fdset__V1__Opened lease;
    int fd;
    int error; /* -errno, 0 where there is a descriptor */
    char text[256];
};

static void list_append(struct submitted **list, struct submitted *submitted) {
    while (*list)
        list = &(*list)->next;
    submitted->next = NULL;
    *list = submitted;
}

static void list_remove(struct submitted **list, struct submitted *submitted) {
    while (*list != submitted)
        list = &(*list)->next;
    *list = submitted->next;
}

/* Called with the lock held. */
static void finish(struct submitted *submitted) {
    struct fdset_vmm *vmm = submitted->vmm;
    uint64_t one = 1;
    list_remove(&vmm->under_way, submitted);
    list_append(&vmm->done, submitted);
    if (vmm->wake_fd >= 0 && write(vmm->wake_fd, &one, sizeof(one)) < 0)
        return; /* it is full: readable enough */
}

static void fail_submitted(struct submitted *submitted, int error, const char *text) {
    submitted->fd = -1;
    submitted->error = error;
    snprintf(submitted->text, sizeof(submitted->text), "%s", text);
}

/* Called with the lock held by whoever read the reply. */
static void arrived(struct waiter *waiter, struct connection *connection) {
    struct submitted *submitted = (struct submitted *)waiter;
    const Fdset__V1__Reply *reply = connection->reply;
    if (reply->body_case == FDSET__V1__REPLY__BODY_OPENED) {
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
    finish(submitted);
}

int fdset_open_submit(struct fdset_vmm *vmm, const char *path, int flags, unsigned wait_ms,
                      fdset_opened_function opened, void *context) {
    Fdset__V1__Open open = FDSET__V1__OPEN__INIT;
    Fdset__V1__Request request = REQUEST(open = &open, OPEN);
    struct connection *connection = &vmm->connection;
    int error = path_check(path);
    if (error)
        return error;
    struct submitted *submitted = calloc(1, sizeof(*submitted));
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
    pthread_mutex_lock(&connection->lock);
    list_append(&vmm->under_way, submitted);
    pthread_mutex_unlock(&connection->lock);
    error = connection_submit(connection, &request, &submitted->waiter);
    if (!error)
        return 0;
    pthread_mutex_lock(&connection->lock);
    list_remove(&vmm->under_way, submitted);
    pthread_mutex_unlock(&connection->lock);
    free(submitted);
    return error;
}

/* ------------------------------------------------------------------ outcomes */

/* Called with the lock held: the connection is over, so none will come. */
static void fail_all(struct fdset_vmm *vmm, int error, const char *text) {
    while (vmm->under_way) {
        struct submitted *submitted = vmm->under_way;
        connection_forget(&vmm->connection, &submitted->waiter);
        fail_submitted(submitted, error, text);
        finish(submitted);
    }
}

/* Called with the lock held: takes all outcomes that are there. */
static struct submitted *take_done(struct fdset_vmm *vmm) {
    struct submitted *done = vmm->done;
    uint64_t count;
    vmm->done = NULL;
    if (vmm->wake_fd >= 0 && read(vmm->wake_fd, &count, sizeof(count)) < 0)
        return done; /* nobody was waiting for it */
    return done;
}

static void deliver(struct submitted *submitted) {
    struct fdset_vmm *vmm = submitted->vmm;
    int result;
    if (submitted->error) {
        result = fail(-submitted->error, "%s", submitted->text);
        if (submitted->lease.lease)
            connection_tell_closed(&vmm->connection, &submitted->lease.lease, 1);
    } else {
        result = lease_accept(vmm, &submitted->lease, submitted->fd, submitted->flags);
    }
    submitted->opened(vmm, result, submitted->context);
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
    struct connection *connection = &vmm->connection;
    struct timespec point;
    const struct timespec *until = connection_until(&point, timeout_ms);
    struct submitted *done;
    int result = 1;
    if (connection_foreign(connection))
        return fail(ESTALE, "the connection to fdset-helper belongs to the process that made it");
    int before = cancellation_off();
    pthread_mutex_lock(&connection->lock);
    while (!vmm->done && result > 0)
        result = connection_pump(connection, until);
    if (result < 0)
        fail_all(vmm, result, fdset_error_text());
    done = take_done(vmm);
    pthread_mutex_unlock(&connection->lock);
    cancellation_restore(&before);
    if (!done)
        return result < 0 ? result : 0;
    return deliver_all(done);
}

int fdset_vmm_poll_fd(struct fdset_vmm *vmm) {
    struct epoll_event event = {.events = EPOLLIN};
    int error = 0;
    pthread_mutex_lock(&vmm->connection.lock);
    if (vmm->poll_fd < 0) {
        vmm->wake_fd = eventfd(vmm->done != NULL, EFD_CLOEXEC | EFD_NONBLOCK);
        vmm->poll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (vmm->wake_fd < 0 || vmm->poll_fd < 0 ||
            epoll_ctl(vmm->poll_fd, EPOLL_CTL_ADD, vmm->wake_fd, &event) < 0 ||
            epoll_ctl(vmm->poll_fd, EPOLL_CTL_ADD, vmm->connection.socket, &event) < 0)
            error = fail(errno, "cannot make a descriptor to poll: %m");
    }
    pthread_mutex_unlock(&vmm->connection.lock);
    if (!error)
        return vmm->poll_fd;
    submitted_close(vmm);
    return error;
}

void submitted_close(struct fdset_vmm *vmm) {
    if (vmm->poll_fd >= 0)
        close(vmm->poll_fd);
    if (vmm->wake_fd >= 0)
        close(vmm->wake_fd);
    vmm->poll_fd = vmm->wake_fd = -1;
}

/* In a child the callbacks' world is the parent's, and so may be the lock: there
 * nothing is given out. */
void submitted_cancel(struct fdset_vmm *vmm) {
    if (!connection_foreign(&vmm->connection)) {
        pthread_mutex_lock(&vmm->connection.lock);
        fail_all(vmm, -ECANCELED, "the connection was given up");
        struct submitted *done = take_done(vmm);
        pthread_mutex_unlock(&vmm->connection.lock);
        deliver_all(done);
    }
    submitted_close(vmm);
}

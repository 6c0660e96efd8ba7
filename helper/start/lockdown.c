/* SPDX-License-Identifier: MIT */
/* What the helper must do around the stages of its sandbox. */
#include "start/lockdown.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "settle/open_file.h"
#include "start/descriptors.h"
#include "start/log.h"

static_assert(SETTLE_THREADS == CONFINE_SETTLE_COUNT, "the filter knows as many");

static void move_up(int *fd) {
    int copy = *fd < CONFINE_FREE ? fcntl(*fd, F_DUPFD_CLOEXEC, CONFINE_FREE) : *fd;

    if (copy < 0)
        log_die("a descriptor's number: %s", strerror(errno));
    if (copy != *fd)
        close(*fd);
    *fd = copy;
}

static void move_to(int *fd, int number) {
    if (dup3(*fd, number, O_CLOEXEC) < 0)
        log_die("a descriptor's number: %s", strerror(errno));
    close(*fd);
    *fd = number;
}

/* Puts what the filter knows by number there. service_init() filled all gaps, so
 * these numbers are its own descriptors', or those of inherited ones, which have
 * been duplicated and are not needed any more. */
static void take_numbers(struct service *service) {
    struct settle_thread *threads = service->settle.threads;

    move_up(&service->sessions.loop.epoll);
    for (int i = 0; i < SETTLE_THREADS; i++) {
        move_up(&threads[i].watch.fd);
        move_up(&threads[i].thread_end);
    }
    move_to(&service->sessions.loop.epoll, CONFINE_EPOLL);
    for (int i = 0; i < SETTLE_THREADS; i++)
        move_to(&threads[i].thread_end, CONFINE_SETTLE_SOCKETS + i);
}

/* Everything that is open and wanted, beside what has a fixed number. */
static size_t list_wanted(const struct service *service, const struct kept *kept, int *keep) {
    const struct sockets *sockets = kept->sockets;
    size_t count = 0;

    for (int i = 0; i < SETTLE_THREADS; i++)
        keep[count++] = service->settle.threads[i].watch.fd;
    for (size_t i = 0; i < sockets->listener_count; i++)
        keep[count++] = sockets->listeners[i].watch.fd;
    keep[count++] = kept->signals->watch.fd;
    list_for_each (link, &service->sessions.all)
        keep[count++] = list_object(link, struct session, link)->watch.fd;
    list_for_each (set_link, &service->model.sets)
        list_for_each (link, &list_object(set_link, struct fdset, by_id)->members)
            keep[count++] = list_object(link, struct member, in_set)->fd;
    if (kept->notify >= 0)
        keep[count++] = kept->notify;
    if (kept->ready >= 0)
        keep[count++] = kept->ready;
    return count;
}

/* They are born inside what each thread has for itself, and before what forbids new ones. */
static void start_threads(struct service *service) {
    int error = settle_start(&service->settle);

    if (error == 0)
        error = settle_await(&service->settle);
    for (int i = 0; i < SETTLE_THREADS && error == 0; i++)
        error = loop_add(&service->sessions.loop, &service->settle.threads[i].watch, EPOLLIN);
    if (error < 0)
        log_die("cannot start the settle threads: %s%s", strerror(-error),
                error == -EAGAIN  ? "; raise the limits of processes (ulimit -u)"
                : error == -EPERM ? "; the container's filter must allow clone3, or refuse it with "
                                    "ENOSYS"
                                  : "");
}

static void check_stage(int error, const struct confine_report *report) {
    if (error < 0 && report->count > 0)
        log_die("sandbox: %s: %s", report->stages[report->count - 1].name,
                report->stages[report->count - 1].detail);
    if (error < 0)
        log_die("sandbox: %s", strerror(-error));
}

/* For those who ask by Query. */
static void keep_report(struct service *service, const struct confine_report *report) {
    static struct sandbox_stage stages[CONFINE_MAX_STAGES];

    for (size_t i = 0; i < report->count; i++)
        stages[i] = (struct sandbox_stage){.name = report->stages[i].name,
                                           .whole = report->stages[i].outcome == CONFINE_DONE,
                                           .detail = report->stages[i].detail};
    service->sandbox = stages;
    service->sandbox_count = report->count;
}

void lockdown(struct service *service, struct start_options *options, const struct kept *kept,
              struct confine_report *report) {
    static int keep[FIXED_DESCRIPTORS + OPTIONS_MAX_SOCKETS + FDSET_MAX_DESCRIPTORS];

    take_numbers(service);
    if (descriptors_spare(options) >= FDSET_MAX_DESCRIPTORS)
        service->sessions.received_most = FDSET_MAX_DESCRIPTORS;
    struct confine_plan plan = {
        .mode = options->confine,
        .keep = keep,
        .keep_count = list_wanted(service, kept, keep),
        .descriptor_limit = options->descriptors,
        .uid = options->uid,
        .gid = options->gid,
        .empty_path = open_file_empty_path,
        .unlock_all = &open_file_unlock_all,
    };
    check_stage(confine_enter(&plan, report), report);
    options->managers.has_unmapped = report->other_users_unknown;
    start_threads(service);
    check_stage(confine_seal(&plan, report), report);
    keep_report(service, report);
}

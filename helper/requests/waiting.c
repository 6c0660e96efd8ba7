/* SPDX-License-Identifier: MIT */
/* Opens that wait for a member, or for the one that fits to be settled. */
#include "requests/waiting.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "requests/opening.h"

int waits_init(struct waits *waits, uint32_t room) {
    list_init(&waits->all);
    int error = slab_init(&waits->slab, sizeof(struct waiting), room);
    return error < 0 ? error : deadlines_init(&waits->deadlines, room);
}

bool waiting_helps(enum refusal_code code) {
    return code == REFUSAL_NO_SET || code == REFUSAL_EMPTY_SET || code == REFUSAL_MODE ||
           code == REFUSAL_SYNC || code == REFUSAL_BUSY;
}

static void tell_wanted(struct service *service, const struct session *session,
                        const struct waiting *waiting, enum refusal_code code, uint32_t wait_ms) {
    struct event event = {
        .kind = EVENT_WANTED,
        .flags = waiting->flags,
        .code = code,
        .wait_ms = wait_ms,
    };

    strcpy(event.path, waiting->path);
    service_tell_session(service, &event, session);
}

int waiting_begin(struct service *service, struct session *session, uint32_t serial,
                  const char *path, int flags, uint32_t wait_ms, enum refusal_code why,
                  struct refusal *refusal) {
    if (!endpoint_take(&service->model.endpoints, session->holder.endpoint, RESOURCE_WAITING))
        return refuse_share(session->holder.endpoint, RESOURCE_WAITING, refusal);
    struct waiting *waiting = slab_take(&service->waits.slab); /* as many as all shares together */

    assert(strlen(path) < sizeof(waiting->path)); /* find_path() has seen to it */
    strcpy(waiting->path, path);
    waiting->number =
        ++service->waits.last_number ? service->waits.last_number : ++service->waits.last_number;
    waiting->connection = session->number;
    waiting->serial = serial;
    waiting->flags = flags;
    waiting->began_ms = service->model.now_ms;
    list_append(&service->waits.all, &waiting->link);
    service->waits.waited++;
    session->waiting_count++;
    if (wait_ms > 0) {
        deadline_start(&service->waits.deadlines, &waiting->deadline,
                       service->model.now_ms + wait_ms);
        tell_wanted(service, session, waiting, why, wait_ms);
    }
    return 0;
}

static void waiting_free(struct service *service, const struct session *session,
                         struct waiting *waiting) {
    endpoint_give(&service->model.endpoints, session->holder.endpoint, RESOURCE_WAITING);
    deadline_stop(&service->waits.deadlines, &waiting->deadline);
    list_remove(&waiting->link);
    slab_give(&service->waits.slab, waiting);
}

/* Answers it and forgets it. */
static void finish(struct service *service, struct session *session, struct waiting *waiting,
                   int result, struct lease *lease, struct refusal *refusal) {
    struct waiting was = *waiting;

    session->waiting_count--;
    waiting_free(service, session, waiting);
    open_counted(service, session, was.path, was.flags, result, refusal);
    if (result == 0)
        reply_opened(session, was.serial, lease);
    else
        reply_error(session, was.serial, refusal);
}

/* Adds to a refusal's text how long it was waited for. */
static void add_time(struct refusal *refusal, uint64_t waited_ms) {
    size_t used = strlen(refusal->text);
    snprintf(refusal->text + used, sizeof(refusal->text) - used, "; waited %llu ms",
             (unsigned long long)waited_ms);
}

/* It had a time, which is over. */
static bool is_over(const struct waiting *waiting) {
    return waiting->deadline.due_ms > 0 && !deadline_runs(&waiting->deadline);
}

static void retry(struct service *service, struct waiting *waiting) {
    struct session *session = session_find(&service->sessions, waiting->connection);
    struct lease *lease = NULL;
    struct refusal refusal;

    if (!session_takes(session))
        return; /* once it can be told */
    int result = open_path(service, session, waiting->path, waiting->flags, &lease, &refusal);
    if (result == -EAGAIN)
        return; /* it has its member, as soon as that is settled */
    if (result < 0 && deadline_runs(&waiting->deadline) && waiting_helps(refusal.code))
        return;
    if (result < 0 && is_over(waiting)) {
        service->waits.expired++;
        add_time(&refusal, service->model.now_ms - waiting->began_ms);
    }
    finish(service, session, waiting, result, lease, &refusal);
}

void waiting_retry(struct service *service) {
    service->waits.seen = service->model.changes;
    list_for_each_safe (link, &service->waits.all)
        retry(service, list_object(link, struct waiting, link));
}

void waiting_expire(struct service *service) {
    struct deadline *due;

    while ((due = deadlines_due(&service->waits.deadlines, service->model.now_ms))) {
        deadline_stop(&service->waits.deadlines, due);
        retry(service, list_object(due, struct waiting, deadline));
    }
}

void waiting_drop(struct service *service, const struct session *session) {
    list_for_each_safe (link, &service->waits.all) {
        struct waiting *waiting = list_object(link, struct waiting, link);
        if (waiting->connection == session->number)
            waiting_free(service, session, waiting);
    }
}

/* SPDX-License-Identifier: MIT */
/* What is to be done after each request and in time: members settle, opens that
 * wait are tried again, events go out, lifetimes end. */
#include "requests/state.h"

#include <limits.h>

#include "requests/deferred.h"
#include "requests/subscription.h"
#include "settle/open_file.h"

/* A file system that takes longer is worth telling of. */
#define STUCK_MS 5000

uint64_t service_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Not after most opens. */
static bool has_follow_up(const struct service *service) {
    return !list_empty(&service->model.unsettled) || service->retry_waiting ||
           service->events_queued || !list_empty(&service->closings);
}

void service_follow_up(struct service *service) {
    if (has_follow_up(service)) {
        service_settle(service);
        waiting_retry(service);
        service_settle(service);
        closings_answer(service);
        subscriptions_flush(service);
    }
#ifdef CHECK_MODEL
    model_check(&service->model);
    service_check(service);
#endif
}

void service_settled(struct settle *settle, struct member *member, unsigned work, bool may_block) {
    struct service *service = list_object(settle, struct service, settle);

    service->model.now_ms = service_now();
    if (work & WORK_INSPECT && member->set)
        list_for_each (link, &member->set->members) {
            struct member *sibling = list_object(link, struct member, in_set);
            if (sibling->device == member->device)
                sibling->may_block = may_block;
        }
    if (work & WORK_CLOSE)
        closing_done(service, member);
    member_settled(&service->model, member, work);
    service->retry_waiting = true;
    service_follow_up(service);
}

void service_stuck(struct settle *settle, struct member *member) {
    struct service *service = list_object(settle, struct service, settle);
    struct event event = {.kind = EVENT_SETTLE_STUCK};

    if (member->set) { /* one that was refused has no id */
        event.has_set = true;
        event.set = member->set->id;
        event.member = member->id;
    }
    service_tell(service, &event);
}

void service_flushed(struct service *service) {
    service->model.now_ms = service_now();
    service->retry_waiting = true;
    service->events_queued = true;
    service_follow_up(service);
}

/* -------------------------------------------------------------------- time */

/* How soon is tried again what the kernel was short of. */
#define RETRY_MS 10

static int64_t earlier(int64_t due, const struct deadline *deadline) {
    return deadline && (due < 0 || (int64_t)deadline->due_ms < due) ? (int64_t)deadline->due_ms
                                                                    : due;
}

/* Nothing is due now or in time, as is usual between two packets. */
static bool is_idle(const struct service *service) {
    return !deadlines_first(&service->model.deadlines) &&
           !deadlines_first(&service->waiting_deadlines) &&
           !deadlines_first(&service->closing_deadlines) && service->settle.count == 0 &&
           !service->stuffed && !service->retry_waiting && !service->events_queued &&
           list_empty(&service->model.unsettled);
}

int service_timeout(const struct service *service) {
    if (is_idle(service))
        return -1;
    if (service->events_queued || service->retry_waiting)
        return 0; /* the last turn ended with somebody's end */
    int64_t due = -1, now = (int64_t)service_now();

    due = earlier(due, deadlines_first(&service->model.deadlines));
    due = earlier(due, deadlines_first(&service->waiting_deadlines));
    due = earlier(due, deadlines_first(&service->closing_deadlines));
    /* Where a settle thread is busy, somebody may have to hear of it. */
    if (service->settle.count > 0 && (due < 0 || due > now + STUCK_MS / 2))
        due = now + STUCK_MS / 2;
    if ((service->stuffed || service->settle.starved) && (due < 0 || due > now + RETRY_MS))
        due = now + RETRY_MS;
    if (due < 0)
        return -1;
    return due > now ? (int)(due - now < INT_MAX ? due - now : INT_MAX) : 0;
}

static void retry_stuffed(struct service *service) {
    if (!service->stuffed || service->model.now_ms < service->stuffed_ms + RETRY_MS)
        return;
    service->stuffed = false;
    service->stuffed_ms = service->model.now_ms;
    list_for_each (link, &service->sessions)
        session_retry(list_object(link, struct session, link));
}

void service_tick(struct service *service) {
    uint64_t removed = service->model.totals.removed;

    if (is_idle(service))
        return;
    service->model.now_ms = service_now();
    retry_stuffed(service);
    model_expire(&service->model);
    /* An open may be waiting for what has gone. */
    service->retry_waiting |= service->model.totals.removed != removed;
    waiting_expire(service);
    closings_expire(service);
    if (service->settle.count > 0)
        settle_watch(&service->settle, service->model.now_ms, STUCK_MS);
    service_follow_up(service);
}

/* What is to be done to the member that no thread is at. A close may be the last, which
 * flushes what was written, frees an unlinked file, or waits for a device's driver: hence it
 * is never done here, whatever the file system. */
static void begin_work(struct service *service, struct member *member) {
    unsigned work = member->work & ~member->working;
    bool slow = member->may_block || work & (WORK_CLOSE | WORK_INSPECT);

    if (member->working && slow)
        return; /* comes back through service_settled() */
    if (slow) {
        settle_submit(&service->settle, member);
        return;
    }
    if (!member->keep_locks)
        description_unlock(member->fd);
    member->status = description_restore_status(member->fd, member->flags);
    member_settled(&service->model, member, work);
}

void service_settle(struct service *service) {
    while (!list_empty(&service->model.unsettled)) {
        struct list *link = service->model.unsettled.next;
        list_remove(link);
        begin_work(service, list_object(link, struct member, queue));
    }
#ifdef CHECK_MODEL
    model_check(&service->model);
#endif
}

/* SPDX-License-Identifier: MIT */
/* What is due in time: lifetimes end, waits are over, what the kernel was short of is tried
 * again, a file system that does not answer is told of. */
#include "requests/turn.h"

#include <limits.h>

#include "model/lifetime.h"

/* A file system that takes longer is worth telling of. */
#define STUCK_MS 5000

/* How soon a settle thread is tried again for which the kernel was short of memory. */
#define RETRY_MS 10

static int64_t earlier(int64_t due, const struct deadline *deadline) {
    return deadline && (due < 0 || (int64_t)deadline->due_ms < due) ? (int64_t)deadline->due_ms
                                                                    : due;
}

/* When the first of all deadlines is due, or -1. */
static int64_t earliest(const struct service *service) {
    int64_t due = -1;

    due = earlier(due, deadlines_first(&service->model.deadlines));
    due = earlier(due, deadlines_first(&service->waits.deadlines));
    due = earlier(due, deadlines_first(&service->deferrals.deadlines));
    due = earlier(due, deadlines_first(&service->sessions.resends));
    return earlier(due, deadlines_first(&service->sessions.patience));
}

/* Nothing is due now or in time, as is usual between two packets. */
static bool is_idle(const struct service *service) {
    uint32_t due = service->model.deadlines.count | service->waits.deadlines.count |
                   service->deferrals.deadlines.count | service->sessions.resends.count |
                   service->sessions.patience.count | service->settle.count |
                   service->settle.leftovers_count;

    return due == 0 && !follow_up_due(service);
}

/* How long to wait in quiet before sweeping; -1: there is nothing to sweep. */
static int sweep_timeout(const struct model *model) {
    if (model->unswept_count == 0)
        return -1;
    return model->sweep_ms == 0 ? 0 : SWEEP_IDLE_MS;
}

int timers_timeout(const struct service *service) {
    int sweep = sweep_timeout(&service->model);

    if (is_idle(service))
        return sweep;
    if (follow_up_due(service))
        return 0;
    int64_t due = earliest(service), now = (int64_t)loop_now();

    /* Where a settle thread is busy, somebody may have to hear of it. */
    if (settle_is_busy(&service->settle) && (due < 0 || due > now + STUCK_MS / 2))
        due = now + STUCK_MS / 2;
    if (service->settle.starved && (due < 0 || due > now + RETRY_MS))
        due = now + RETRY_MS;
    if (sweep >= 0 && (due < 0 || due > now + sweep))
        due = now + sweep;
    return due > now ? (int)(due - now < INT_MAX ? due - now : INT_MAX) : 0;
}

void timers_tick(struct service *service) {
    if (service->sessions.loop.quiet || service->model.now_ms >= service->model.sweep_ms) {
        service->sessions.loop.quiet = false;
        work_sweep_due(&service->model);
    }
    if (is_idle(service))
        return;
    turn_resend(service);
    turn_lose_patience(service);
    model_expire(&service->model);
    waiting_expire(service);
    deferrals_expire(service);
    if (settle_is_busy(&service->settle))
        settle_watch(&service->settle, service->model.now_ms, STUCK_MS);
    follow_up(service);
}

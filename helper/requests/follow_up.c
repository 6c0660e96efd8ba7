/* SPDX-License-Identifier: MIT */
/* What is to be done after each request and in time: members settle, opens that
 * wait are tried again, events go out. */
#include "requests/turn.h"

#include <assert.h>

/* Who waits for what has changed is served or answered. */
static void tell_changed(struct service *service) {
    while (!list_empty(&service->model.changed)) {
        struct list *link = service->model.changed.next;
        const struct member *member = list_object(link, struct member, changed);
        list_remove(link);
        waiting_retry(service, member);
        deferrals_look(service, member->set->id, member->id);
    }
}

void follow_up_now(struct service *service) {
    work_begin(&service->settle, &service->model);
    tell_changed(service);
    if (!list_empty(&service->deferrals.ready))
        deferrals_answer(service);
    subscriptions_flush(service);
}

static void settled(struct settle *settle, struct member *member, unsigned work, bool may_block) {
    struct service *service = list_object(settle, struct service, settle);

    if (work & WORK_INSPECT && member->set)
        list_for_each (link, &member->set->members) {
            struct member *sibling = list_object(link, struct member, in_set);
            if (sibling->device == member->device)
                sibling->may_block = may_block;
        }
    bool listed = member->set;
    uint32_t set = listed ? member->set->id : 0, id = member->id;
    if (work & WORK_CLOSE)
        deferred_closed(service, member);
    member_settled(&service->model, member, work);
    if (listed && work & WORK_CLOSE && service->model.awaited > 0)
        deferrals_look(service, set, id);
    follow_up(service);
}

static void stuck(struct settle *settle, struct member *member) {
    struct service *service = list_object(settle, struct service, settle);
    struct event event = {.kind = EVENT_SETTLE_STUCK};

    if (member->set) { /* one that was refused has no id */
        event.has_set = true;
        event.set = member->set->id;
        event.member = member->id;
        event.reserved = member->set->reserved;
    }
    service_tell(service, &event);
}

void follow_up_settling(struct service *service) {
    service->settle.done = settled;
    service->settle.stuck = stuck;
}

void service_check(const struct service *service) {
    uint32_t sessions = 0, waiting = 0, pending = 0, subscriptions = 0, leases = 0;

    list_for_each (link, &service->sessions.all) {
        const struct session *session = list_object(link, struct session, link);
        sessions++;
        waiting += session->hung_up ? 0 : session->waiting_count;
        pending += !!session->pending;
        subscriptions += !!session->events;
        leases += session->holder.lease_count;
        assert(!session->ended || session->holder.lease_count == 0);
    }
    list_for_each (link, &service->sessions.unread)
        sessions++;
    list_for_each (link, &service->sessions.leaving)
        sessions++;
    /* Those of which all has been read by now are freed with the turn. */
    list_for_each (link, &service->sessions.gone)
        sessions += list_empty(&list_object(link, struct session, gone)->link);
    assert(sessions == service->sessions.slab.used);
    assert(waiting == service->waits.slab.used);
    assert(pending == service->sessions.pending_slab.used);
    assert(subscriptions == service->subscriptions.slab.used);
    assert(leases == service->model.lease_slab.used);
    /* Whatever is in no set is on its way out. */
    if (service->settle.count == 0)
        assert(service->model.member_slab.used == service->model.member_count);
}

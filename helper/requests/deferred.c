/* SPDX-License-Identifier: MIT */
/* Answers that come when descriptors are closed or unlocked. */
#include "requests/deferred.h"

#include <assert.h>

#include "connection/reply.h"
#include "requests/state.h"

int deferrals_init(struct deferrals *deferrals, uint32_t room) {
    list_init(&deferrals->ready);
    int error = slab_init(&deferrals->slab, sizeof(struct deferred), room);
    if (error == 0)
        error = buckets_init(&deferrals->awaiting, room);
    return error < 0 ? error : deadlines_init(&deferrals->deadlines, room);
}

void reply_removed(struct session *session, uint32_t serial, uint32_t members, uint32_t leases,
                   uint32_t closing) {
    Fdset__V1__Removed removed = FDSET__V1__REMOVED__INIT;

    removed.members = members;
    removed.leases = leases;
    removed.closing = closing;
    reply_send(session, serial, FDSET__V1__REPLY__BODY_REMOVED, &removed, NULL, 0);
}

/* Where those are that wait for a set, and for a member; no member has number 0. */
static struct list *awaiting(const struct service *service, uint32_t set, uint32_t member) {
    return buckets_at(&service->deferrals.awaiting, member ? ~member : set);
}

static struct deferred *begin(struct service *service, struct session *session, uint32_t serial,
                              uint32_t wait_ms) {
    struct deferred *deferred = slab_take(&service->deferrals.slab);

    if (!deferred)
        return NULL;
    deferred->session = session;
    deferred->serial = serial;
    list_init(&deferred->link);
    service->model.awaited++;
    list_append(&session->deferrals, &deferred->in_session);
    deadline_start(&service->deferrals.deadlines, &deferred->deadline,
                   service->model.now_ms + wait_ms);
    return deferred;
}

bool deferred_begin_removal(struct service *service, struct session *session, uint32_t serial,
                            const struct deferred *wanted, uint32_t wait_ms) {
    struct deferred *deferred = begin(service, session, serial, wait_ms);

    if (!deferred)
        return false;
    deferred->set = wanted->set;
    deferred->member = wanted->member;
    deferred->removed = wanted->removed;
    list_append(awaiting(service, wanted->set, wanted->member), &deferred->link);
    return true;
}

static bool is_locked(const struct service *service, uint32_t member_id) {
    const struct member *member = model_find_member(&service->model, member_id);
    return member && member->lease_count == 0 && member_settling(member);
}

/* One of a session, so that VMMs leave room for managers. */
static bool awaits_unlock(const struct session *session) {
    list_for_each (link, &session->deferrals)
        if (list_object(link, struct deferred, in_session)->unlocked)
            return true;
    return false;
}

bool deferred_begin_unlock(struct service *service, struct session *session, uint32_t serial,
                           uint32_t member) {
    struct deferred *deferred = NULL;

    if (is_locked(service, member) && !awaits_unlock(session))
        deferred = begin(service, session, serial, CLOSING_WAIT_MS);
    if (!deferred)
        return false;
    deferred->unlocked = member;
    list_append(awaiting(service, 0, member), &deferred->link);
    return true;
}

struct deferred *deferred_begin_refusal(struct service *service, struct session *session,
                                        uint32_t serial, const struct refusal *refusal) {
    struct deferred *deferred = begin(service, session, serial, CLOSING_REFUSAL_MS);

    if (deferred)
        deferred->refusal = *refusal;
    return deferred;
}

void deferred_note(struct service *service, struct deferred *deferred, struct member *member) {
    assert(!member->set && member->answer == 0);
    member->answer = slab_number(&service->deferrals.slab, deferred) + 1;
    deferred->refused++;
}

static void make_ready(struct service *service, struct deferred *deferred) {
    list_remove(&deferred->link);
    list_append(&service->deferrals.ready, &deferred->link);
}

void deferred_closed(struct service *service, const struct member *member) {
    if (member->set || member->answer == 0)
        return;
    struct deferred *deferred = slab_at(&service->deferrals.slab, member->answer - 1);
    assert(deferred->refused > 0);
    if (--deferred->refused == 0)
        make_ready(service, deferred);
}

uint32_t deferred_left(const struct service *service, uint32_t set_id, uint32_t member_id) {
    const struct fdset *set = model_find_set(&service->model, set_id);

    if (!set || member_id == 0)
        return set ? set->closing_count : 0;
    const struct member *member = model_find_member(&service->model, member_id);
    return member && member->set == set && member->work & WORK_CLOSE;
}

static uint32_t left(const struct service *service, const struct deferred *deferred) {
    if (deferred->unlocked)
        return is_locked(service, deferred->unlocked);
    return deferred->refusal.code ? deferred->refused
                                  : deferred_left(service, deferred->set, deferred->member);
}

/* Nobody waits for it any more; it stays as long as refused members have its number. */
static void deferred_end(struct service *service, struct deferred *deferred) {
    deadline_stop(&service->deferrals.deadlines, &deferred->deadline);
    list_remove(&deferred->link);
    list_remove(&deferred->in_session);
    service->model.awaited -= !!deferred->session;
    deferred->session = NULL;
    if (deferred->refused == 0)
        slab_give(&service->deferrals.slab, deferred);
}

static void answer(struct service *service, struct session *session, struct deferred *deferred) {
    if (deferred->refusal.code)
        reply_error(session, deferred->serial, &deferred->refusal);
    else if (deferred->unlocked)
        reply_done(session, deferred->serial);
    else
        reply_removed(session, deferred->serial, deferred->removed, 0, left(service, deferred));
}

void deferrals_look(struct service *service, uint32_t set, uint32_t member) {
    struct list *const places[] = {awaiting(service, set, 0), awaiting(service, set, member)};

    for (int i = 0; i < 2; i++)
        list_for_each_safe (link, places[i]) {
            struct deferred *deferred = list_object(link, struct deferred, link);
            if (left(service, deferred) == 0)
                make_ready(service, deferred);
        }
}

void deferrals_answer(struct service *service) {
    while (!list_empty(&service->deferrals.ready)) {
        struct list *link = service->deferrals.ready.next;
        struct deferred *deferred = list_object(link, struct deferred, link);
        list_remove(link);
        if (deferred->session && !session_takes(deferred->session)) {
            deferred->session->missed = true;
            continue; /* once it can be told */
        }
        if (deferred->session)
            answer(service, deferred->session, deferred);
        deferred_end(service, deferred);
    }
}

void deferrals_resume(struct service *service, struct session *session) {
    list_for_each (link, &session->deferrals) {
        struct deferred *deferred = list_object(link, struct deferred, in_session);
        if (left(service, deferred) == 0 || !deadline_runs(&deferred->deadline))
            make_ready(service, deferred);
    }
}

void deferrals_expire(struct service *service) {
    struct deadline *due;

    while ((due = deadlines_due(&service->deferrals.deadlines, service->model.now_ms))) {
        deadline_stop(&service->deferrals.deadlines, due);
        make_ready(service, list_object(due, struct deferred, deadline));
    }
}

void deferrals_drop(struct service *service, struct session *session) {
    while (!list_empty(&session->deferrals))
        deferred_end(service, list_object(session->deferrals.next, struct deferred, in_session));
}

/* SPDX-License-Identifier: MIT */
#include "requests/deferred.h"

#include <assert.h>

static struct closing *begin(struct service *service, const struct session *session,
                             uint32_t serial, uint32_t wait_ms) {
    struct closing *closing = slab_take(&service->closing_slab);

    if (!closing)
        return NULL;
    closing->connection = session->number;
    closing->serial = serial;
    list_append(&service->closings, &closing->link);
    deadline_start(&service->closing_deadlines, &closing->deadline,
                   service->model.now_ms + wait_ms);
    return closing;
}

bool closing_begin_removal(struct service *service, struct session *session, uint32_t serial,
                           const struct closing *wanted, uint32_t wait_ms) {
    struct closing *closing = begin(service, session, serial, wait_ms);

    if (!closing)
        return false;
    closing->set = wanted->set;
    closing->member = wanted->member;
    closing->removed = wanted->removed;
    return true;
}

static bool is_locked(const struct service *service, uint32_t member_id) {
    const struct member *member = model_find_member(&service->model, member_id);
    return member && member->lease_count == 0 && member_settling(member);
}

/* One of a session, so that VMMs leave room for managers. */
static bool awaits_unlock(const struct service *service, const struct session *session) {
    list_for_each (link, &service->closings) {
        const struct closing *closing = list_object(link, struct closing, link);
        if (closing->connection == session->number && closing->unlocked)
            return true;
    }
    return false;
}

bool closing_begin_unlock(struct service *service, struct session *session, uint32_t serial,
                          uint32_t member) {
    struct closing *closing = NULL;

    if (is_locked(service, member) && !awaits_unlock(service, session))
        closing = begin(service, session, serial, CLOSING_WAIT_MS);
    if (closing)
        closing->unlocked = member;
    return closing;
}

struct closing *closing_begin_refusal(struct service *service, struct session *session,
                                      uint32_t serial, const struct refusal *refusal) {
    struct closing *closing = begin(service, session, serial, CLOSING_REFUSAL_MS);

    if (closing)
        closing->refusal = *refusal;
    return closing;
}

/* A refused member is in no set and has no id, which so has room for its answer's number. */
void closing_note(struct service *service, struct closing *closing, struct member *member) {
    assert(!member->set && member->id == 0);
    member->id = slab_number(&service->closing_slab, closing) + 1;
    closing->refused++;
}

void closing_done(struct service *service, const struct member *member) {
    if (member->set || member->id == 0)
        return;
    struct closing *closing = slab_at(&service->closing_slab, member->id - 1);
    assert(closing->refused > 0);
    closing->refused--;
}

uint32_t closing_left(const struct service *service, uint32_t set_id, uint32_t member_id) {
    const struct fdset *set = model_find_set(&service->model, set_id);

    if (!set || member_id == 0)
        return set ? set->closing_count : 0;
    const struct member *member = model_find_member(&service->model, member_id);
    return member && member->set == set && member->work & WORK_CLOSE;
}

static uint32_t left(const struct service *service, const struct closing *closing) {
    if (closing->unlocked)
        return is_locked(service, closing->unlocked);
    return closing->refusal.code ? closing->refused
                                 : closing_left(service, closing->set, closing->member);
}

static void closing_free(struct service *service, struct closing *closing) {
    deadline_stop(&service->closing_deadlines, &closing->deadline);
    list_remove(&closing->link);
    slab_give(&service->closing_slab, closing);
}

/* Nobody waits for it any more; it stays as long as refused members have its number. */
static void closing_end(struct service *service, struct closing *closing) {
    deadline_stop(&service->closing_deadlines, &closing->deadline);
    closing->connection = 0;
    if (closing->refused == 0)
        closing_free(service, closing);
}

static void answer(struct service *service, struct session *session, struct closing *closing) {
    if (closing->refusal.code)
        service_reply_error(service, session, closing->serial, &closing->refusal);
    else if (closing->unlocked)
        service_reply_done(service, session, closing->serial);
    else
        reply_removed(
            service, session, closing->serial,
            &(struct removed){.members = closing->removed, .closing = left(service, closing)});
}

void closings_answer(struct service *service) {
    list_for_each_safe (link, &service->closings) {
        struct closing *closing = list_object(link, struct closing, link);
        if (left(service, closing) > 0 && deadline_runs(&closing->deadline))
            continue;
        if (closing->connection) {
            struct session *session = session_find(service, closing->connection);
            if (session->pending || session->broken)
                continue; /* once it can be told */
            answer(service, session, closing);
        }
        closing_end(service, closing);
    }
}

void closings_expire(struct service *service) {
    struct deadline *first;

    while ((first = deadlines_first(&service->closing_deadlines)) &&
           first->due_ms <= service->model.now_ms)
        deadline_stop(&service->closing_deadlines, first);
}

void closings_drop(struct service *service, const struct session *session) {
    list_for_each_safe (link, &service->closings) {
        struct closing *closing = list_object(link, struct closing, link);
        if (closing->connection == session->number)
            closing_end(service, closing);
    }
}

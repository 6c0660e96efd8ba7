/* SPDX-License-Identifier: MIT */
/* What a VMM asks: Open, OpenMany, Close, Hold, Unhold. */
#include "requests/handler.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "feature.h"
#include "model/lease.h"
#include "requests/chore.h"
#include "requests/opening.h"
#include "settle/settle.h"

int serve_open(struct service *service, struct session *session, const Fdset__V1__Request *request,
               struct refusal *refusal) {
    const Fdset__V1__Open *open = request->open;
    int flags = (int)open->flags;
    struct lease *lease;

    if (open->wait_ms > FDSET_MAX_WAIT_MS)
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL, "an open waits at most %d ms",
                      FDSET_MAX_WAIT_MS);
    int result = open_path(service, session, open->path, flags, &lease, refusal);
    /* Of access mode 3 there is no member that could come. */
    bool may_come = open->wait_ms > 0 && (flags & O_ACCMODE) != O_ACCMODE;
    if (result == -EAGAIN || (result < 0 && may_come && waiting_helps(refusal->code))) {
        result = waiting_begin(service, session, request->serial, open->path, flags, open->wait_ms,
                               refusal);
        if (result == 0)
            return 0;
    }
    if (result == 0)
        reply_opened(session, request->serial, lease);
    else
        open_denied(service, session, open->path, flags, refusal);
    return result;
}

static void many_begin(struct many *many) {
    many->count = many->lease_count = 0;
    many->text_used = 0;
}

/* The place of the next lease. */
static struct lease **many_lease(struct many *many) {
    return &many->leases[many->lease_count];
}

static void many_result(struct many *many, int result, struct refusal *refusal) {
    size_t index = many->count++;
    Fdset__V1__OpenedMany__Result *answer = &many->results[index];

    fdset__v1__opened_many__result__init(answer);
    many->result_pointers[index] = answer;
    if (result == 0) {
        answer->outcome_case = FDSET__V1__OPENED_MANY__RESULT__OUTCOME_OPENED;
        opened_fill(&many->opened[index], *many_lease(many));
        answer->opened = &many->opened[index];
        many->lease_count++;
        return;
    }
    error_fill(&many->errors[index], refusal);
    size_t length = strlen(refusal->text) + 1;
    if (length > sizeof(many->text) - many->text_used)
        length = 0;
    many->errors[index].text = length ? memcpy(many->text + many->text_used, refusal->text, length)
                                      : (char *)protobuf_c_empty_string;
    many->text_used += length;
    answer->outcome_case = FDSET__V1__OPENED_MANY__RESULT__OUTCOME_ERROR;
    answer->error = &many->errors[index];
}

static void many_open(struct service *service, struct session *session, struct many *many,
                      const char *path, int flags, uint32_t wait_ms, struct refusal *refusal) {
    int result = wait_ms == 0 ? open_path(service, session, path, flags, many_lease(many), refusal)
                              : refuse(refusal, REFUSAL_ARGUMENT, EINVAL,
                                       "an open among many does not wait");

    if (result < 0 && result != -EAGAIN)
        open_denied(service, session, path, flags, refusal);
    many_result(many, result, refusal);
}

static void many_send(struct session *session, struct many *many, uint32_t serial) {
    Fdset__V1__OpenedMany answer = FDSET__V1__OPENED_MANY__INIT;

    answer.n_results = many->count;
    answer.results = many->result_pointers;
    reply_send(session, serial, FDSET__V1__REPLY__BODY_OPENED_MANY, &answer, many->leases,
               many->lease_count);
}

static void many_step(struct service *service, struct session *session, struct chore *chore) {
    struct refusal refusal;

    do {
        const struct wanted_open *open = &chore->opens[chore->done++];
        many_open(service, session, &chore->answer, open->path, open->flags, open->wait_ms,
                  &refusal);
        loop_spend(&service->sessions.loop, 1);
    } while (chore->done < chore->count && loop_may(&service->sessions.loop));
    if (chore->done == chore->count)
        many_send(session, &chore->answer, chore->serial);
}

/* The request is the inbox's, which is wanted for others. */
static void many_keep(struct chore *chore, const Fdset__V1__OpenMany *wanted) {
    char *to = chore->paths;

    chore->step = many_step;
    many_begin(&chore->answer);
    for (size_t i = 0; i < wanted->n_opens; i++) {
        const Fdset__V1__Open *open = wanted->opens[i];
        chore->opens[i] = (struct wanted_open){to, (int)open->flags, open->wait_ms};
        to = stpcpy(to, open->path) + 1;
    }
}

int serve_open_many(struct service *service, struct session *session,
                    const Fdset__V1__Request *request, struct refusal *refusal) {
    const Fdset__V1__OpenMany *wanted = request->open_many;
    static struct many answer; /* of few; one at a time is made */

    if (wanted->n_opens == 0 || wanted->n_opens > FDSET_MAX_OPENS)
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL, "%zu opens in one request: 1 to %d",
                      wanted->n_opens, FDSET_MAX_OPENS);
    if (wanted->n_opens > TURN_WORK) {
        many_keep(chore_begin(service, session, request->serial, wanted->n_opens), wanted);
        return 0;
    }
    many_begin(&answer);
    for (size_t i = 0; i < wanted->n_opens; i++) {
        const Fdset__V1__Open *open = wanted->opens[i];
        many_open(service, session, &answer, open->path, (int)open->flags, open->wait_ms, refusal);
    }
    loop_spend(&service->sessions.loop, (int)wanted->n_opens);
    many_send(session, &answer, request->serial);
    return 0;
}

/* Once its locks are cleared; what can be cleared in place is at once. */
static void answer_close(struct service *service, struct session *session, uint32_t serial,
                         uint32_t member) {
    struct member *left = model_find_member(&service->model, member);

    work_begin(&service->settle, &service->model);
    if (left && !list_empty(&left->unswept))
        work_sweep(&service->model, left);
    if (!deferred_begin_unlock(service, session, serial, member))
        reply_done(session, serial);
}

/* Returns of which member it was, or 0. */
static uint32_t close_lease(struct service *service, struct session *session, uint64_t id) {
    struct lease *lease = lease_find(&service->model, &session->holder, id);

    loop_spend(&service->sessions.loop, LEASE_WORK);
    if (!lease)
        return 0;
    uint32_t member = lease->member->id;
    lease_end(&service->model, lease);
    service->model.totals.closes++;
    return member;
}

#define CLOSES_AT_ONCE (TURN_WORK / LEASE_WORK)

static void close_step(struct service *service, struct session *session, struct chore *chore) {
    do {
        close_lease(service, session, chore->leases[chore->done++]);
    } while (chore->done < chore->count && loop_may(&service->sessions.loop));
}

static void close_keep(struct chore *chore, const Fdset__V1__Close *close) {
    chore->step = close_step;
    memcpy(chore->leases, close->leases, close->n_leases * sizeof(*chore->leases));
}

int serve_close(struct service *service, struct session *session, const Fdset__V1__Request *request,
                struct refusal *refusal) {
    bool answered = request->serial && session->features & FEATURE_BIT(CLOSE_ANSWER);
    uint32_t member = 0;

    if (answered && request->close->n_leases > 1)
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL,
                      "a Close that is answered is of one lease, not of %zu",
                      request->close->n_leases);
    if (request->close->n_leases > CLOSES_AT_ONCE) {
        close_keep(chore_begin(service, session, 0, request->close->n_leases), request->close);
        return 0;
    }
    for (size_t i = 0; i < request->close->n_leases; i++)
        member = close_lease(service, session, request->close->leases[i]);
    if (answered)
        answer_close(service, session, request->serial, member);
    return 0;
}

int serve_hold(struct service *service, struct session *session, const Fdset__V1__Request *request,
               struct refusal *refusal) {
    struct fdset *set =
        find_path(&service->model, session->holder.endpoint, request->hold->path, refusal);
    int result =
        set ? hold_begin(&service->model, &session->holder, set, refusal) : -refusal->error;
    if (result == 0)
        reply_done(session, request->serial);
    return result;
}

int serve_unhold(struct service *service, struct session *session,
                 const Fdset__V1__Request *request, struct refusal *refusal) {
    struct fdset *set =
        find_path(&service->model, session->holder.endpoint, request->unhold->path, refusal);

    /* No set, no hold: that is what was asked for. */
    if (!set && refusal->code != REFUSAL_NO_SET)
        return -refusal->error;
    if (set)
        hold_end(&service->model, &session->holder, set);
    reply_done(session, request->serial);
    return 0;
}

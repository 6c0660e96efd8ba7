/* SPDX-License-Identifier: MIT */
/* What a VMM asks: Open, OpenMany, Close, Hold, Unhold. */
#include "requests/handler.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "feature.h"
#include "model/lease.h"
#include "requests/opening.h"
#include "settle/settle.h"

/* All error texts of one OpenMany together; later ones go without. */
#define MANY_TEXT_BYTES 8192

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
                               refusal->code, refusal);
        if (result == 0)
            return 0;
    }
    if (result == 0)
        reply_opened(session, request->serial, lease);
    else
        open_denied(service, session, open->path, flags, refusal);
    return result;
}

/* Room for the answer to an OpenMany; one at a time is made. */
static struct {
    Fdset__V1__OpenedMany__Result results[FDSET_MAX_OPENS], *result_pointers[FDSET_MAX_OPENS];
    Fdset__V1__Opened opened[FDSET_MAX_OPENS];
    Fdset__V1__Error errors[FDSET_MAX_OPENS];
    struct lease *leases[FDSET_MAX_OPENS];
    char text[MANY_TEXT_BYTES];
} many;

static void many_result(size_t index, const struct lease *lease, int result,
                        struct refusal *refusal, size_t *text_used) {
    Fdset__V1__OpenedMany__Result *answer = &many.results[index];

    fdset__v1__opened_many__result__init(answer);
    many.result_pointers[index] = answer;
    if (result == 0) {
        answer->outcome_case = FDSET__V1__OPENED_MANY__RESULT__OUTCOME_OPENED;
        opened_fill(&many.opened[index], lease);
        answer->opened = &many.opened[index];
        return;
    }
    error_fill(&many.errors[index], refusal);
    size_t length = strlen(refusal->text) + 1;
    if (length > sizeof(many.text) - *text_used)
        length = 0;
    many.errors[index].text = length ? memcpy(many.text + *text_used, refusal->text, length)
                                     : (char *)protobuf_c_empty_string;
    *text_used += length;
    answer->outcome_case = FDSET__V1__OPENED_MANY__RESULT__OUTCOME_ERROR;
    answer->error = &many.errors[index];
}

int serve_open_many(struct service *service, struct session *session,
                    const Fdset__V1__Request *request, struct refusal *refusal) {
    Fdset__V1__OpenedMany answer = FDSET__V1__OPENED_MANY__INIT;
    const Fdset__V1__OpenMany *wanted = request->open_many;
    uint32_t lease_count = 0;
    size_t text_used = 0;

    if (wanted->n_opens == 0 || wanted->n_opens > FDSET_MAX_OPENS)
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL, "%zu opens in one request: 1 to %d",
                      wanted->n_opens, FDSET_MAX_OPENS);
    for (size_t i = 0; i < wanted->n_opens; i++) {
        const Fdset__V1__Open *open = wanted->opens[i];
        int result = open->wait_ms == 0 ? open_path(service, session, open->path, (int)open->flags,
                                                    &many.leases[lease_count], refusal)
                                        : refuse(refusal, REFUSAL_ARGUMENT, EINVAL,
                                                 "an open among many does not wait");
        if (result < 0 && result != -EAGAIN)
            open_denied(service, session, open->path, (int)open->flags, refusal);
        many_result(i, many.leases[lease_count], result, refusal, &text_used);
        lease_count += result == 0;
    }
    answer.n_results = wanted->n_opens;
    answer.results = many.result_pointers;
    reply_send(session, request->serial, FDSET__V1__REPLY__BODY_OPENED_MANY, &answer, many.leases,
               lease_count);
    return 0;
}

/* Once its locks are cleared; what can be cleared in place is at once. */
static void answer_close(struct service *service, struct session *session, uint32_t serial,
                         uint32_t member) {
    work_begin(&service->settle, &service->model);
    if (!deferred_begin_unlock(service, session, serial, member))
        reply_done(session, serial);
}

int serve_close(struct service *service, struct session *session, const Fdset__V1__Request *request,
                struct refusal *refusal) {
    bool answered = request->serial && session->features & FEATURE_BIT(CLOSE_ANSWER);
    uint32_t member = 0;

    if (answered && request->close->n_leases > 1)
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL,
                      "a Close that is answered is of one lease, not of %zu",
                      request->close->n_leases);
    for (size_t i = 0; i < request->close->n_leases; i++) {
        struct lease *lease =
            lease_find(&service->model, &session->holder, request->close->leases[i]);
        if (!lease)
            continue;
        member = lease->member->id;
        lease_end(&service->model, lease);
        service->model.totals.closes++;
    }
    if (answered)
        answer_close(service, session, request->serial, member);
    return 0;
}

int serve_hold(struct service *service, struct session *session, const Fdset__V1__Request *request,
               struct refusal *refusal) {
    struct fdset *set = find_path(&service->model, request->hold->path, refusal);
    int result =
        set ? hold_begin(&service->model, &session->holder, set, refusal) : -refusal->error;
    if (result == 0)
        reply_done(session, request->serial);
    return result;
}

int serve_unhold(struct service *service, struct session *session,
                 const Fdset__V1__Request *request, struct refusal *refusal) {
    struct fdset *set = find_path(&service->model, request->unhold->path, refusal);

    /* No set, no hold: that is what was asked for. */
    if (!set && refusal->code != REFUSAL_NO_SET)
        return -refusal->error;
    if (set)
        hold_end(&service->model, &session->holder, set);
    reply_done(session, request->serial);
    return 0;
}

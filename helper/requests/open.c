/* SPDX-License-Identifier: MIT */
/* What a VMM asks: Open, OpenMany, Close, Hold, Unhold. */
#include "requests/state.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "feature.h"
#include "requests/deferred.h"
#include "settle/open_file.h"
#include "shortcut/shortcut.h"

/* All error texts of one OpenMany together; later ones go without. */
#define MANY_TEXT_BYTES 8192

/* The set of this name or, if it is digits alone, of this id; each id has one spelling, so
 * that no two paths are the same set. */
static struct fdset *find_word(const struct model *model, const char *word,
                               struct refusal *refusal) {
    const char *end = word;
    uint64_t id = 0;

    for (; *end >= '0' && *end <= '9' && id <= INT_MAX; end++)
        id = id * 10 + (uint64_t)(*end - '0');
    if (*end == '\0' && end > word && id <= INT_MAX && (word[0] != '0' || !word[1]))
        return model_find_set(model, (uint32_t)id);
    if (set_name_is_valid(word))
        return model_find_name(model, word);
    refuse(refusal, REFUSAL_PATH, EINVAL,
           "neither a set's number (0 to %d, without leading zeros) nor a name: %s", INT_MAX, word);
    return NULL;
}

struct fdset *find_path(const struct model *model, const char *path, struct refusal *refusal) {
    const char *word = path + strlen(SET_PATH_PREFIX);

    if (strncmp(path, SET_PATH_PREFIX, strlen(SET_PATH_PREFIX)) != 0) {
        refuse(refusal, REFUSAL_PATH, EINVAL, "not a path of the form " SET_PATH_PREFIX "N: %s",
               path);
        return NULL;
    }
    refusal->code = REFUSAL_NO_SET;
    struct fdset *set = find_word(model, word, refusal);
    if (!set && refusal->code == REFUSAL_NO_SET)
        refuse(refusal, REFUSAL_NO_SET, ENOENT, "there is no set %s", word);
    return set;
}

/* Sets the description's flags to the wanted ones: nobody else has it open. */
static int set_status(struct member *member, int flags, struct refusal *refusal) {
    int wanted = match_status(member, flags);
    int result = description_set_status(member->fd, wanted);

    if (result == -EPERM && wanted & ~flags) { /* cleared by who kept a copy */
        wanted = flags & STATUS_SETTABLE;
        result = description_set_status(member->fd, wanted);
    }
    if (result < 0)
        return refuse(refusal, REFUSAL_FLAGS, -result,
                      "the file system of set %u refuses the wanted flags (%s): %s",
                      member->set->id, flags & O_DIRECT ? "O_DIRECT" : "status flags",
                      strerrordesc_np(-result));
    member->status = wanted;
    return 0;
}

/* A VMM can change the flags of what it has open without our hearing of it. Returns
 * whether it has. */
static bool refresh_status(struct member *member) {
    if (!member || member->lease_count == 0)
        return false;
    int status = description_flags(member->fd), before = member->status;
    if (status >= 0)
        member->status = status;
    return member->status != before;
}

/* More than one change between two looks is not worth asking for without end. */
#define MATCHES 4

static int find_member(struct service *service, const struct fdset *set,
                       const struct holder *holder, int flags, struct match *match,
                       struct refusal *refusal) {
    int result = match_member(set, holder, flags, match, refusal);

    for (int i = 0; i < MATCHES && refresh_status(match->member); i++) {
        service->retry_waiting |= !list_empty(&service->waiting); /* for just these, perhaps */
        result = match_member(set, holder, flags, match, refusal);
    }
    return result;
}

int open_path(struct service *service, struct session *session, const char *path, int flags,
              struct lease **lease, struct refusal *refusal) {
    struct fdset *set = find_path(&service->model, path, refusal);
    struct match match;

    if (!set)
        return -refusal->error;
    int result = find_member(service, set, &session->holder, flags, &match, refusal);
    if (result < 0)
        return result;
    struct member *member = match.member;
    if (match.settling)
        return refuse(refusal, REFUSAL_BUSY, EAGAIN, "set %u is being settled: ask again", set->id);
    *lease = lease_open(&service->model, &session->holder, member, flags, refusal);
    if (!*lease)
        return -refusal->error;
    result = match.set_flags ? set_status(member, flags, refusal) : 0;
    if (result < 0) {
        lease_cancel(&service->model, *lease);
        return result;
    }
    lease_confirm(&service->model, *lease);
    return 0;
}

/* What the VMM is told of its lease. */
static Fdset__V1__Opened opened_by(const struct lease *lease) {
    Fdset__V1__Opened opened = FDSET__V1__OPENED__INIT;
    int flags = lease->flags;
    bool truncates = flags & O_TRUNC || (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL);

    opened.lease = lease->id;
    opened.member = lease->member->id;
    opened.truncate = truncates && !lease->member->keep_content;
    return opened;
}

void open_counted(struct service *service, struct session *session, const char *path, int flags,
                  int result, const struct refusal *refusal) {
    if (result == 0)
        return; /* lease_confirm() has */
    service->model.totals.denied++;
    if (!model_tells(&service->model))
        return;
    struct event event = {
        .kind = EVENT_DENIED,
        .flags = flags,
        .code = refusal->code,
        .connection = session->holder.connection,
        .pid = session->holder.pid,
    };
    strcpy(event.name, session->holder.name);
    show_text(event.path, sizeof(event.path), path);
    service_tell(service, &event);
}

void reply_opened(struct session *session, uint32_t serial, struct lease *lease) {
    Fdset__V1__Opened opened = opened_by(lease);
    uint8_t bytes[OPENED_REPLY_BYTES];
    size_t length = opened_reply_encode(serial, &opened, bytes);

    session_send(session, bytes, (uint32_t)length, &lease, 1);
}

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
        struct refusal why = *refusal;
        result = waiting_begin(service, session, request->serial, open->path, flags, open->wait_ms,
                               &why, refusal);
        if (result == 0)
            return 0;
    }
    open_counted(service, session, open->path, flags, result, refusal);
    if (result == 0)
        reply_opened(session, request->serial, lease);
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
        many.opened[index] = opened_by(lease);
        answer->opened = &many.opened[index];
        return;
    }
    service_error(&many.errors[index], refusal);
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
    Fdset__V1__Reply reply = FDSET__V1__REPLY__INIT;
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
        if (result != -EAGAIN)
            open_counted(service, session, open->path, (int)open->flags, result, refusal);
        many_result(i, many.leases[lease_count], result, refusal, &text_used);
        lease_count += result == 0;
    }
    answer.n_results = wanted->n_opens;
    answer.results = many.result_pointers;
    reply.serial = request->serial;
    reply.body_case = FDSET__V1__REPLY__BODY_OPENED_MANY;
    reply.opened_many = &answer;
    service_reply(service, session, &reply, many.leases, lease_count);
    return 0;
}

/* Once its locks are cleared; what can be cleared in place is at once. */
static void answer_close(struct service *service, struct session *session, uint32_t serial,
                         uint32_t member) {
    service_settle(service);
    if (!closing_begin_unlock(service, session, serial, member))
        service_reply_done(service, session, serial);
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
        service->retry_waiting = true;
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
        service_reply_done(service, session, request->serial);
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
    service_reply_done(service, session, request->serial);
    return 0;
}

/* What a VMM asks: Open, OpenMany, Close. */
#include "service.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "description.h"

#define PREFIX "/dev/fdset/"

/* As many as fit in one reply with their descriptors and some words. */
#define MANY_OPENS 250

/* All error texts of one OpenMany together; later ones go without. */
#define MANY_TEXT_BYTES 8192

/* The one spelling of each id, so that no two paths are the same set. */
static int parse_path(const char *path, uint32_t *set, struct refusal *refusal) {
    const char *digits = path + strlen(PREFIX);
    uint64_t value = 0;

    if (strncmp(path, PREFIX, strlen(PREFIX)) != 0)
        return refuse(refusal, REFUSAL_PATH, EINVAL, "not a path of the form " PREFIX "N: %.64s",
                      path);
    for (const char *digit = digits; *digit; digit++) {
        if (*digit < '0' || *digit > '9' || value > INT_MAX)
            return refuse(refusal, REFUSAL_PATH, EINVAL, "not a set's number after %s: %.64s",
                          PREFIX, digits);
        value = value * 10 + (uint64_t)(*digit - '0');
    }
    if (!*digits || (digits[0] == '0' && digits[1]) || value > INT_MAX)
        return refuse(refusal, REFUSAL_PATH, EINVAL,
                      "not a set's number 0 to %d without leading zeros: %.64s", INT_MAX, digits);
    *set = (uint32_t)value;
    return 0;
}

/* Gives out one lease. 0, or -errno with a refusal; -EAGAIN where the member is
 * being settled (nothing else gives that). */
static int open_member(struct service *service, struct session *session, uint32_t set, int flags,
                       Fdset__V1__Opened *opened, struct refusal *refusal) {
    struct match match;

    int result = match_member(&service->model, &session->holder, set, flags, &match, refusal);
    if (result < 0)
        return result;
    struct member *member = match.member;
    if (match.settling)
        return refuse(refusal, REFUSAL_BUSY, EAGAIN, "set %u is being settled: ask again", set);
    struct lease *lease =
        lease_open(&service->model, &session->holder, member, flags, service_now(), refusal);
    if (!lease)
        return -refusal->error;
    if (match.set_flags) {
        result = description_set_status(member->fd, flags);
        if (result < 0) {
            lease_end(&service->model, lease);
            service_settle(service);
            return refuse(refusal, REFUSAL_FLAGS, -result,
                          "the file system of set %u refuses the wanted flags (%s): %s", set,
                          flags & O_DIRECT ? "O_DIRECT" : "status flags", strerrordesc_np(-result));
        }
        member->status = flags & STATUS_SETTABLE;
    }
    bool truncates = flags & O_TRUNC || (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL);
    opened->lease = lease->id;
    opened->member = member->id;
    opened->truncate = truncates && !member->keep_content;
    return 0;
}

static void count_open(struct service *service, int result) {
    if (result == 0)
        service->model.totals.opens++;
    else
        service->model.totals.denied++;
}

static void reply_opened(struct service *service, struct session *session, uint32_t serial,
                         Fdset__V1__Opened *opened) {
    Fdset__V1__Reply reply = FDSET__V1__REPLY__INIT;

    reply.serial = serial;
    reply.body_case = FDSET__V1__REPLY__BODY_OPENED;
    reply.opened = opened;
    service_reply(service, session, &reply, &opened->lease, 1);
}

/* ----------------------------------------------------------- waiting opens */

static int wait_for_member(struct service *service, struct session *session, uint32_t serial,
                           uint32_t set, int flags, struct refusal *refusal) {
    struct waiting *waiting = slab_take(&service->waiting_slab);
    if (!waiting)
        return refuse(refusal, REFUSAL_LIMIT, ENFILE,
                      "set %u is being settled, and %u opens wait already (--limit waiting=N)", set,
                      service->model.limits.waiting);
    *waiting = (struct waiting){
        .connection = session->number, .serial = serial, .set = set, .flags = flags};
    list_append(&service->waiting, &waiting->link);
    return 0;
}

static void waiting_free(struct service *service, struct waiting *waiting) {
    list_remove(&waiting->link);
    slab_give(&service->waiting_slab, waiting);
}

static struct session *find_session(struct service *service, uint32_t number) {
    list_for_each (link, &service->sessions) {
        struct session *session = list_object(link, struct session, link);
        if (session->number == number)
            return session;
    }
    return NULL;
}

void waiting_retry(struct service *service) {
    list_for_each_safe (link, &service->waiting) {
        struct waiting *waiting = list_object(link, struct waiting, link);
        struct session *session = find_session(service, waiting->connection);
        Fdset__V1__Opened opened = FDSET__V1__OPENED__INIT;
        struct refusal refusal;

        if (session->pending || session->broken)
            continue;
        int result = open_member(service, session, waiting->set, waiting->flags, &opened, &refusal);
        if (result == -EAGAIN)
            continue;
        uint32_t serial = waiting->serial;
        waiting_free(service, waiting);
        count_open(service, result);
        if (result == 0)
            reply_opened(service, session, serial, &opened);
        else
            service_reply_error(service, session, serial, &refusal);
    }
}

void waiting_drop(struct service *service, const struct session *session) {
    list_for_each_safe (link, &service->waiting) {
        struct waiting *waiting = list_object(link, struct waiting, link);
        if (waiting->connection == session->number)
            waiting_free(service, waiting);
    }
}

/* ---------------------------------------------------------------- requests */

int serve_open(struct service *service, struct session *session, const Fdset__V1__Request *request,
               struct refusal *refusal) {
    Fdset__V1__Opened opened = FDSET__V1__OPENED__INIT;
    int flags = (int)request->open->flags;
    uint32_t set;

    int result = parse_path(request->open->path, &set, refusal);
    if (result == 0)
        result = open_member(service, session, set, flags, &opened, refusal);
    if (result == -EAGAIN) {
        result = wait_for_member(service, session, request->serial, set, flags, refusal);
        if (result == 0)
            return 0;
    }
    count_open(service, result);
    if (result == 0)
        reply_opened(service, session, request->serial, &opened);
    return result;
}

/* Room for the answer to an OpenMany; one at a time is made. */
static struct {
    Fdset__V1__OpenedMany__Result results[MANY_OPENS], *result_pointers[MANY_OPENS];
    Fdset__V1__Opened opened[MANY_OPENS];
    Fdset__V1__Error errors[MANY_OPENS];
    uint32_t leases[MANY_OPENS];
    char text[MANY_TEXT_BYTES];
} many;

static void many_result(size_t index, int result, struct refusal *refusal, size_t *text_used) {
    Fdset__V1__OpenedMany__Result *answer = &many.results[index];

    fdset__v1__opened_many__result__init(answer);
    many.result_pointers[index] = answer;
    if (result == 0) {
        answer->outcome_case = FDSET__V1__OPENED_MANY__RESULT__OUTCOME_OPENED;
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

    if (wanted->n_opens == 0 || wanted->n_opens > MANY_OPENS)
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL, "%zu opens in one request: 1 to %d",
                      wanted->n_opens, MANY_OPENS);
    for (size_t i = 0; i < wanted->n_opens; i++) {
        uint32_t set;
        fdset__v1__opened__init(&many.opened[i]);
        int result = parse_path(wanted->opens[i]->path, &set, refusal);
        if (result == 0)
            result = open_member(service, session, set, (int)wanted->opens[i]->flags,
                                 &many.opened[i], refusal);
        if (result == 0)
            many.leases[lease_count++] = many.opened[i].lease;
        if (result != -EAGAIN)
            count_open(service, result);
        many_result(i, result, refusal, &text_used);
    }
    answer.n_results = wanted->n_opens;
    answer.results = many.result_pointers;
    reply.serial = request->serial;
    reply.body_case = FDSET__V1__REPLY__BODY_OPENED_MANY;
    reply.opened_many = &answer;
    service_reply(service, session, &reply, many.leases, lease_count);
    return 0;
}

int serve_close(struct service *service, struct session *session, const Fdset__V1__Request *request,
                struct refusal *refusal) {
    for (size_t i = 0; i < request->close->n_leases; i++) {
        struct lease *lease =
            lease_find(&service->model, &session->holder, request->close->leases[i]);
        if (!lease)
            continue;
        lease_end(&service->model, lease);
        service->model.totals.closes++;
    }
    return 0;
}

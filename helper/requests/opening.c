/* SPDX-License-Identifier: MIT */
/* One open: finds the set and the member, gives out the lease, tells of it. */
#include "requests/opening.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "connection/reply.h"
#include "model/lease.h"
#include "requests/subscription.h"
#include "settle/open_file.h"
#include "shortcut/shortcut.h"

/* Bytes of a path that a refusal repeats: what does not fit into its text is dear to leave
 * out, as vsnprintf() does so byte by byte. */
#define MOST_SHOWN 255

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
           "neither a set's number (0 to %d, without leading zeros) nor a name: %.*s", INT_MAX,
           MOST_SHOWN, word);
    return NULL;
}

/* What strncmp() says in a call, and in half as many instructions. */
static inline bool is_set_path(const char *path) {
    for (size_t i = 0; i < strlen(SET_PATH_PREFIX); i++)
        if (path[i] != SET_PATH_PREFIX[i])
            return false;
    return true;
}

struct fdset *find_path(const struct model *model, const struct endpoint *endpoint,
                        const char *path, struct refusal *refusal) {
    const char *word = path + strlen(SET_PATH_PREFIX);

    if (!is_set_path(path)) {
        refuse(refusal, REFUSAL_PATH, EINVAL, "not a path of the form " SET_PATH_PREFIX "N: %.*s",
               MOST_SHOWN, path);
        return NULL;
    }
    refusal->code = REFUSAL_NO_SET;
    struct fdset *set = find_word(model, word, refusal);
    if (set && endpoint && !set_is_for(set, endpoint))
        set = NULL;
    if (!set && refusal->code == REFUSAL_NO_SET)
        refuse(refusal, REFUSAL_NO_SET, ENOENT, "there is no set %s", word);
    return set;
}

/* Sets the description's flags to the wanted ones: nobody else has it open. */
static int set_status(struct member *member, int flags, struct refusal *refusal) {
    int wanted = match_status(member, flags);
    int result = open_file_set_status(member->fd, wanted);

    if (result == -EPERM && wanted & ~flags) { /* cleared by who kept a copy */
        wanted = flags & STATUS_SETTABLE;
        result = open_file_set_status(member->fd, wanted);
    }
    if (result < 0)
        return refuse(refusal, REFUSAL_FLAGS, -result,
                      "the file system of set %u refuses the wanted flags (%s): %s",
                      member->set->id, flags & O_DIRECT ? "O_DIRECT" : "status flags",
                      strerrordesc_np(-result));
    member_flags_set(member, wanted);
    return 0;
}

/* A VMM can change the flags of what it has open without our hearing of it. Returns
 * whether it has. */
static bool refresh_status(struct model *model, struct member *member) {
    if (!member || member->lease_count == 0)
        return false;
    int status = open_file_flags(member->fd);
    if (status < 0 || status == member->status)
        return false;
    member_flags_seen(model, member, status);
    return true;
}

/* More than one change between two looks is not worth asking for without end. */
#define MATCHES 4

static int find_member(struct model *model, const struct fdset *set, const struct holder *holder,
                       int flags, struct match *match, struct refusal *refusal) {
    int error = match_member(set, holder, flags, match, refusal);

    for (int i = 0; i < MATCHES && refresh_status(model, match->member); i++)
        error = match_member(set, holder, flags, match, refusal);
    return error;
}

/* What the last holder may have left, before another gets it. */
static __attribute__((noinline)) void sweep(struct service *service, struct match *match) {
    work_sweep(&service->model, match->member);
    match->settling |= member_settling(match->member);
}

int open_path(struct service *service, struct session *session, const char *path, int flags,
              struct lease **lease, struct refusal *refusal) {
    struct fdset *set = find_path(&service->model, session->holder.endpoint, path, refusal);
    struct match match;

    if (!set)
        return -refusal->error;
    int result = find_member(&service->model, set, &session->holder, flags, &match, refusal);
    if (result < 0)
        return result;
    struct member *member = match.member;
    if (!list_empty(&member->unswept) &&
        (member->last != session->number || member->sharing == SHARING_SHARED))
        sweep(service, &match);
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

void opened_fill(Fdset__V1__Opened *opened, const struct lease *lease) {
    int flags = lease->flags;
    bool truncates = flags & O_TRUNC || (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL);

    *opened = (Fdset__V1__Opened)FDSET__V1__OPENED__INIT;
    opened->lease = lease->id;
    opened->member = lease->member->id;
    opened->truncate = truncates && !lease->member->keep_content;
}

void open_denied(struct service *service, struct session *session, const char *path, int flags,
                 const struct refusal *refusal) {
    service->model.totals.denied++;
    if (!model_tells(&service->model, EVENT_DENIED))
        return;
    struct event event = {
        .kind = EVENT_DENIED,
        .flags = flags,
        .code = refusal->code,
    };

    show_text(event.path, sizeof(event.path), path);
    event_note_holder(service, &event, refusal->lease);
    service_tell_session(service, &event, session);
}

void reply_opened(struct session *session, uint32_t serial, struct lease *lease) {
    Fdset__V1__Opened opened;

    opened_fill(&opened, lease);
    reply_send(session, serial, FDSET__V1__REPLY__BODY_OPENED, &opened, &lease, 1);
}

/* SPDX-License-Identifier: MIT */
/* Opens that wait for a member, or for the one that fits to be settled. */
#include "requests/waiting.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "model/lease.h"
#include "requests/opening.h"

int waits_init(struct waits *waits, uint32_t room) {
    list_init(&waits->all);
    int error = slab_init(&waits->slab, sizeof(struct waiting), room);
    if (error == 0)
        error = buckets_init(&waits->wanted, room);
    return error < 0 ? error : deadlines_init(&waits->deadlines, room);
}

bool waiting_helps(enum refusal_code code) {
    return code == REFUSAL_NO_SET || code == REFUSAL_EMPTY_SET || code == REFUSAL_MODE ||
           code == REFUSAL_SYNC || code == REFUSAL_BUSY;
}

/* What find_path() looks up. */
static const char *word_of(const char *path) {
    return path + strlen(SET_PATH_PREFIX);
}

static uint32_t wanted_key(const char *word, int mode) {
    return text_key(word) ^ (uint32_t)mode;
}

static void tell_wanted(struct service *service, const struct session *session,
                        const struct waiting *waiting, const struct refusal *why,
                        uint32_t wait_ms) {
    struct event event = {
        .kind = EVENT_WANTED,
        .flags = waiting->flags,
        .code = why->code,
        .wait_ms = wait_ms,
    };

    strcpy(event.path, waiting->path);
    event_note_holder(service, &event, why->lease);
    service_tell_session(service, &event, session);
}

int waiting_begin(struct service *service, struct session *session, uint32_t serial,
                  const char *path, int flags, uint32_t wait_ms, struct refusal *refusal) {
    if (!endpoint_take(&service->model.endpoints, session->holder.endpoint, RESOURCE_WAITING))
        return refuse_share(session->holder.endpoint, RESOURCE_WAITING, refusal);
    struct waiting *waiting = slab_take(&service->waits.slab); /* as many as all shares together */

    assert(strlen(path) < sizeof(waiting->path)); /* find_path() has seen to it */
    strcpy(waiting->path, path);
    waiting->number = ++service->waits.last_number;
    waiting->session = session;
    waiting->serial = serial;
    waiting->flags = flags;
    waiting->began_ms = service->model.now_ms;
    list_append(&service->waits.all, &waiting->link);
    list_append(&session->waits, &waiting->in_session);
    list_append(
        buckets_at(&service->waits.wanted, wanted_key(word_of(path), waiting->flags & O_ACCMODE)),
        &waiting->in_bucket);
    service->waits.waited++;
    service->model.awaited++;
    session->waiting_count++;
    if (wait_ms > 0) {
        deadline_start(&service->waits.deadlines, &waiting->deadline,
                       service->model.now_ms + wait_ms);
        tell_wanted(service, session, waiting, refusal, wait_ms);
    }
    return 0;
}

static void waiting_free(struct service *service, struct waiting *waiting) {
    endpoint_give(&service->model.endpoints, waiting->session->holder.endpoint, RESOURCE_WAITING);
    deadline_stop(&service->waits.deadlines, &waiting->deadline);
    list_remove(&waiting->link);
    list_remove(&waiting->in_session);
    list_remove(&waiting->in_bucket);
    service->model.awaited--;
    slab_give(&service->waits.slab, waiting);
}

/* Answers it and forgets it. */
static void finish(struct service *service, struct session *session, struct waiting *waiting,
                   int result, struct lease *lease, struct refusal *refusal) {
    struct waiting was = *waiting;

    session->waiting_count--;
    waiting_free(service, waiting);
    if (result == 0) {
        reply_opened(session, was.serial, lease);
        return;
    }
    open_denied(service, session, was.path, was.flags, refusal);
    reply_error(session, was.serial, refusal);
}

/* Adds to a refusal's text how long it was waited for. */
static void add_time(struct refusal *refusal, uint64_t waited_ms) {
    size_t used = strlen(refusal->text);
    snprintf(refusal->text + used, sizeof(refusal->text) - used, "; waited %llu ms",
             (unsigned long long)waited_ms);
}

/* It had a time, which is over. */
static bool is_over(const struct waiting *waiting) {
    return waiting->deadline.due_ms > 0 && !deadline_runs(&waiting->deadline);
}

static void retry(struct service *service, struct waiting *waiting) {
    struct session *session = waiting->session;
    struct lease *lease = NULL;
    struct refusal refusal;

    if (!session_takes(session)) {
        session->missed = true;
        return; /* once it can be told */
    }
    int result = open_path(service, session, waiting->path, waiting->flags, &lease, &refusal);
    if (result == -EAGAIN)
        return; /* it has its member, as soon as that is settled */
    if (result < 0 && deadline_runs(&waiting->deadline) && waiting_helps(refusal.code))
        return;
    if (result < 0 && is_over(waiting)) {
        service->waits.expired++;
        add_time(&refusal, service->model.now_ms - waiting->began_ms);
    }
    finish(service, session, waiting, result, lease, &refusal);
}

/* Opens that wait for one set, by one of its words, in one access mode. */
struct wanted {
    char word[FDSET_MAX_SET_NAME_BYTES + 1];
    int mode;
    const struct list *head, *next;
};

/* From `link` on the first of its own; others have the same bucket. */
static const struct list *wanted_seek(const struct wanted *one, const struct list *link) {
    for (; link != one->head; link = link->next) {
        const struct waiting *waiting = list_object(link, struct waiting, in_bucket);
        if ((waiting->flags & O_ACCMODE) == one->mode &&
            strcmp(word_of(waiting->path), one->word) == 0)
            break;
    }
    return link;
}

static void wanted_begin(const struct waits *waits, struct wanted *one) {
    one->head = buckets_at(&waits->wanted, wanted_key(one->word, one->mode));
    one->next = wanted_seek(one, one->head->next);
}

/* Takes from all the one that came first, or NULL. */
static struct waiting *wanted_next(struct wanted *kinds, int count) {
    struct waiting *first = NULL;
    struct wanted *from = NULL;

    for (int i = 0; i < count; i++) {
        if (kinds[i].next == kinds[i].head)
            continue;
        struct waiting *waiting = list_object(kinds[i].next, struct waiting, in_bucket);
        if (!first || waiting->number < first->number) {
            first = waiting;
            from = &kinds[i];
        }
    }
    if (first)
        from->next = wanted_seek(from, from->next->next);
    return first;
}

/* Those that the member can be for. */
static int wanted_of(const struct waits *waits, const struct member *member,
                     struct wanted kinds[4]) {
    int mode = member->flags & O_ACCMODE, count = 0;

    for (int named = 0; named <= !!member->set->name; named++)
        for (int read = 0; read <= (member->serves_read_only && mode == O_RDWR); read++) {
            struct wanted *one = &kinds[count++];
            if (named)
                strcpy(one->word, member->set->name);
            else
                snprintf(one->word, sizeof(one->word), "%u", member->set->id);
            one->mode = read ? O_RDONLY : mode;
            wanted_begin(waits, one);
        }
    return count;
}

/* Who has no time waits for a member that is being settled, and is answered if that one is
 * lost. Of all others it is enough to know that this member does not serve them. */
void waiting_retry(struct service *service, const struct member *member) {
    struct wanted kinds[4];
    struct waiting *waiting;

    int count = wanted_of(&service->waits, member, kinds);
    while ((waiting = wanted_next(kinds, count)))
        if (!deadline_runs(&waiting->deadline) ||
            match_serves(member, &waiting->session->holder, waiting->flags))
            retry(service, waiting);
}

void waiting_resume(struct service *service, struct session *session) {
    list_for_each_safe (link, &session->waits)
        retry(service, list_object(link, struct waiting, in_session));
}

/* The others are still due in the next turn. */
#define EXPIRE_AT_ONCE 16

void waiting_expire(struct service *service) {
    struct deadline *due;

    for (int i = 0; i < EXPIRE_AT_ONCE &&
                    (due = deadlines_due(&service->waits.deadlines, service->model.now_ms));
         i++) {
        deadline_stop(&service->waits.deadlines, due);
        retry(service, list_object(due, struct waiting, deadline));
    }
}

void waiting_drop(struct service *service, struct session *session) {
    while (!list_empty(&session->waits))
        waiting_free(service, list_object(session->waits.next, struct waiting, in_session));
}

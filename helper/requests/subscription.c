/* SPDX-License-Identifier: MIT */
/* Events: who hears of which, and when. */
#include "requests/subscription.h"

#include <assert.h>
#include <string.h>
#include <time.h>

#include "connection/reply.h"
#include "requests/state.h"

static_assert((int)EVENT_ADDED == FDSET__V1__EVENT_KIND__EVENT_ADDED &&
                  (int)EVENT_SETTLE_STUCK == FDSET__V1__EVENT_KIND__EVENT_SETTLE_STUCK,
              "event.h and fdset.proto have the same kinds");

/* How many are sent at once; and what one takes in a packet beside its texts. */
#define BATCH       64
#define EVENT_BYTES 176

int subscriptions_init(struct subscriptions *subscriptions, const struct limits *limits) {
    size_t bytes = sizeof(struct event_queue) + limits->events * sizeof(struct event);

    list_init(&subscriptions->all);
    list_init(&subscriptions->unsent);
    return slab_init(&subscriptions->slab, bytes, limits->connections);
}

#define ALL_KINDS   (((1u << EVENT_KINDS) - 1) & ~1u)
#define USUAL_KINDS (ALL_KINDS & ~(1u << EVENT_OPENED | 1u << EVENT_CLOSED | 1u << EVENT_DENIED))

static void tell_model_event(struct model *model, struct event *event) {
    service_tell(list_object(model, struct service, model), event);
}

/* What nobody wants to hear of is not even made. */
static void note_kinds(struct service *service) {
    service->model.told = 0;
    list_for_each (link, &service->subscriptions.all)
        service->model.told |= list_object(link, struct event_queue, in_all)->kinds;
}

void subscribe(struct service *service, struct session *session, uint32_t kinds) {
    if (!session->events) {
        /* One for each session there can be. */
        session->events = slab_take(&service->subscriptions.slab);
        session->events->session = session;
        list_init(&session->events->link);
        list_append(&service->subscriptions.all, &session->events->in_all);
        service->model.tell = tell_model_event;
    }
    session->events->kinds = kinds ? kinds & ALL_KINDS : USUAL_KINDS;
    note_kinds(service);
}

void unsubscribe(struct service *service, struct session *session) {
    if (!session->events)
        return;
    list_remove(&session->events->link);
    list_remove(&session->events->in_all);
    slab_give(&service->subscriptions.slab, session->events);
    session->events = NULL;
    note_kinds(service);
}

/* ----------------------------------------------------------------- sending */

/* Each event has one, which may be needed. */
static void fill_holder(Fdset__V1__LeaseInfo *to, struct event_holder *from) {
    fdset__v1__lease_info__init(to);
    to->lease = from->lease;
    to->connection = from->connection;
    to->pid = from->pid;
    to->name = from->name;
    to->endpoint = (char *)from->endpoint->name;
}

static void fill(Fdset__V1__Event *to, Fdset__V1__LeaseInfo *holder, struct event *from) {
    fdset__v1__event__init(to);
    to->kind = (Fdset__V1__EventKind)from->kind;
    to->sequence = from->sequence;
    to->time_ms = from->time_ms;
    if (from->has_set) {
        to->which_case = FDSET__V1__EVENT__WHICH_SET;
        to->set = (int32_t)from->set;
    }
    to->member = from->member;
    to->lease = from->lease;
    to->flags = (uint32_t)from->flags;
    to->path = from->path;
    to->code = (Fdset__V1__Code)from->code;
    to->wait_ms = from->wait_ms;
    to->connection = from->connection;
    to->pid = from->pid;
    to->name = from->name;
    if (from->endpoint)
        to->endpoint = (char *)from->endpoint->name;
    if (from->reserved)
        to->reserved_for = (char *)from->reserved->name;
    if (from->held_by.lease == 0)
        return;
    fill_holder(holder, &from->held_by);
    to->held_by = holder;
}

static size_t texts(const struct event *event) {
    return strlen(event->path) + strlen(event->name) +
           (event->endpoint ? strlen(event->endpoint->name) : 0) +
           (event->reserved ? strlen(event->reserved->name) : 0) +
           (event->held_by.lease
                ? strlen(event->held_by.name) + strlen(event->held_by.endpoint->name)
                : 0);
}

static void send_batch(struct session *session) {
    static Fdset__V1__Event batch[BATCH], *pointers[BATCH];
    static Fdset__V1__LeaseInfo holders[BATCH];
    struct event_queue *queue = session->events;
    uint32_t room = service_of(session)->model.limits.events;
    Fdset__V1__Events events = FDSET__V1__EVENTS__INIT;
    size_t bytes = EVENT_BYTES; /* for what is around them */

    while (events.n_events < BATCH && queue->count > 0) {
        struct event *next = &queue->events[queue->first];
        bytes += EVENT_BYTES + texts(next);
        if (bytes > FDSET_MAX_PACKET_BYTES)
            break;
        fill(&batch[events.n_events], &holders[events.n_events], next);
        pointers[events.n_events] = &batch[events.n_events];
        events.n_events++;
        queue->first = (queue->first + 1) % room;
        queue->count--;
    }
    events.events = pointers;
    events.lost = queue->lost;
    queue->lost = 0;
    reply_send(session, 0, FDSET__V1__REPLY__BODY_EVENTS, &events, NULL, 0);
}

/* One request can make more events than the queue has room for: what the socket
 * takes is then sent at once. Not before the reply to that very request. */
static void make_room(struct service *service, struct session *session) {
    struct event_queue *queue = session->events;
    uint32_t room = service->model.limits.events;

    if (queue->count == room && session_takes(session) && session != service->inbox.serving)
        send_batch(session);
    if (queue->count < room)
        return;
    /* The oldest goes: what is lost lies before all that is still queued. */
    queue->first = (queue->first + 1) % room;
    queue->count--;
    queue->lost++;
    service->subscriptions.lost++;
}

/* One that is bound to an endpoint hears of its sets and of its VMMs. */
static bool hears(const struct session *session, const struct event *event) {
    const struct endpoint *bound = session->holder.endpoint;

    return !bound || (event->has_set ? event->reserved : event->endpoint) == bound;
}

static void enqueue(struct service *service, struct session *session, const struct event *event) {
    struct event_queue *queue = session->events;
    uint32_t room = service->model.limits.events;

    if (!(queue->kinds & 1u << event->kind) || !hears(session, event))
        return;
    make_room(service, session);
    struct event *place = &queue->events[(queue->first + queue->count++) % room];
    *place = *event;
    if (session->holder.endpoint && place->held_by.endpoint != session->holder.endpoint)
        place->held_by.lease = 0;
    if (session_takes(session) && list_empty(&queue->link))
        list_append(&service->subscriptions.unsent, &queue->link);
}

/* By vDSO, as loop_now(). */
static uint64_t time_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void service_tell(struct service *service, struct event *event) {
    event->sequence = ++service->model.event_sequence;
    if (!(service->model.told >> event->kind & 1))
        return;
    event->time_ms = time_now();
    list_for_each (link, &service->subscriptions.all)
        enqueue(service, list_object(link, struct event_queue, in_all)->session, event);
}

void event_note_holder(struct service *service, struct event *event, uint64_t lease_id) {
    const struct lease *lease = lease_id ? model_find_lease(&service->model, lease_id) : NULL;

    if (!lease)
        return;
    event->held_by = (struct event_holder){.lease = lease_id,
                                           .connection = lease->holder->connection,
                                           .pid = lease->holder->pid,
                                           .endpoint = lease->holder->endpoint};
    strcpy(event->held_by.name, lease->holder->name);
}

void service_tell_session(struct service *service, struct event *event,
                          const struct session *session) {
    event->connection = session->holder.connection;
    event->pid = session->holder.pid;
    event->endpoint = session->holder.endpoint;
    strcpy(event->name, session->holder.name);
    service_tell(service, event);
}

void subscription_resume(struct session *session) {
    while (session->events && session->events->count > 0 && session_takes(session))
        send_batch(session);
}

void subscriptions_flush(struct service *service) {
    while (!list_empty(&service->subscriptions.unsent)) {
        struct list *link = service->subscriptions.unsent.next;
        list_remove(link);
        subscription_resume(list_object(link, struct event_queue, link)->session);
    }
}

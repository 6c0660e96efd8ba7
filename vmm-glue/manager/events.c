/* SPDX-License-Identifier: MIT */
/* What a manager is told of without asking. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "manager/manager.h"
#include "wire/failure.h"
#include "wire/packets.h"
#include "wire/poll.h"
#include "wire/requests.h"

/* As <fdset/manager.h> says. */
#define EVENTS_KEPT 1024

static struct fdset_event *next_place(struct fdset_manager *manager) {
    size_t place = (manager->first_event + manager->event_count++) % EVENTS_KEPT;
    return &manager->events[place];
}

static void keep_holder(struct fdset_event *event, const Fdset__V1__LeaseInfo *from) {
    event->held_by_lease = from->lease;
    event->held_by_connection = from->connection;
    event->held_by_pid = from->pid;
    snprintf(event->held_by_name, sizeof(event->held_by_name), "%s", from->name);
    snprintf(event->held_by_endpoint, sizeof(event->held_by_endpoint), "%s", from->endpoint);
}

static void keep(struct fdset_manager *manager, const Fdset__V1__Event *from) {
    if (manager->event_count == EVENTS_KEPT) {
        manager->lost++;
        return;
    }
    struct fdset_event *event = next_place(manager);
    *event = (struct fdset_event){
        .kind = (enum fdset_event_kind)from->kind,
        .sequence = from->sequence,
        .time_ms = from->time_ms,
        .set = from->which_case == FDSET__V1__EVENT__WHICH_SET ? from->set : -1,
        .member = from->member,
        .lease = from->lease,
        .flags = (int)from->flags,
        .code = (int)from->code,
        .wait_ms = from->wait_ms,
        .connection = from->connection,
        .pid = from->pid,
        .lost = manager->lost,
    };
    snprintf(event->path, sizeof(event->path), "%s", from->path);
    snprintf(event->name, sizeof(event->name), "%s", from->name);
    snprintf(event->endpoint, sizeof(event->endpoint), "%s", from->endpoint);
    snprintf(event->reserved_for, sizeof(event->reserved_for), "%s", from->reserved_for);
    if (from->held_by)
        keep_holder(event, from->held_by);
    manager->lost = 0;
}

/* Called with the lock held, after each change. */
static void events_changed(struct fdset_manager *manager) {
    manager->connection.has_events = manager->event_count > 0;
    poll_changed(&manager->connection);
}

/* Called with the connection's lock held. */
static void events_arrived(struct connection *connection, const Fdset__V1__Events *events) {
    struct fdset_manager *manager = (struct fdset_manager *)connection;
    manager->lost += events->lost;
    for (size_t i = 0; i < events->n_events; i++)
        keep(manager, events->events[i]);
    events_changed(manager);
}

/* ------------------------------------------------------------ subscriptions */

/* A Subscribe with all that it points to. */
struct subscribing {
    struct question question; /* first */
    Fdset__V1__Subscribe body;
    Fdset__V1__EventKind chosen[32];
    uint32_t kinds;
};

static void subscribing_write(struct subscribing *subscribing, uint32_t kinds) {
    Fdset__V1__Subscribe *body = &subscribing->body;

    fdset__v1__subscribe__init(body);
    body->kinds = subscribing->chosen;
    subscribing->kinds = kinds;
    /* RECONNECTED is the library's own, and other bits are none. */
    for (unsigned kind = FDSET_EVENT_ADDED; kind <= FDSET_EVENT_SETTLE_STUCK; kind++)
        if (kinds & FDSET_EVENT_BIT(kind))
            body->kinds[body->n_kinds++] = (Fdset__V1__EventKind)kind;
}

static int subscribed_read(struct question *question, const Fdset__V1__Reply *reply) {
    question->manager->subscribed = true;
    question->manager->kinds = ((const struct subscribing *)question)->kinds;
    return 0;
}

/* Asks a restarted helper for the same. */
static int renew(struct connection *connection, struct waiter *waiter) {
    const struct fdset_manager *manager = (const struct fdset_manager *)connection;
    struct subscribing subscribing;
    Fdset__V1__Request request = REQUEST(subscribe = &subscribing.body, SUBSCRIBE);

    if (!manager->subscribed)
        return 0;
    subscribing_write(&subscribing, manager->kinds);
    int error = request_send(connection, &request, NULL, 0, waiter);
    return error ? send_error(error) : 1;
}

/* Called with the lock held. This event must not be lost: where all places are
 * taken, it takes the last one's. */
static void renewed(struct connection *connection) {
    struct fdset_manager *manager = (struct fdset_manager *)connection;
    struct fdset_event event = {.kind = FDSET_EVENT_RECONNECTED, .set = -1, .lost = manager->lost};
    if (!manager->subscribed)
        return;
    bool full = manager->event_count == EVENTS_KEPT;
    manager->event_count -= full;
    struct fdset_event *place = next_place(manager);
    if (full)
        event.lost += 1 + place->lost;
    *place = event;
    manager->lost = 0;
    events_changed(manager);
}

static int make_room(struct fdset_manager *manager) {
    struct fdset_event *events = calloc(EVENTS_KEPT, sizeof(*events));
    if (!events)
        return fail(ENOMEM, "out of memory");
    pthread_mutex_lock(&manager->connection.lock);
    if (!manager->events) {
        manager->events = events;
        manager->connection.events_arrived = events_arrived;
        manager->connection.renew = renew;
        manager->connection.renewed = renewed;
        events = NULL;
    }
    pthread_mutex_unlock(&manager->connection.lock);
    free(events); /* another thread was first */
    return 0;
}

static struct question *subscribing_new(struct fdset_manager *manager, uint32_t kinds) {
    struct subscribing *subscribing =
        question_new(manager, sizeof(*subscribing), FDSET__V1__REQUEST__BODY_SUBSCRIBE,
                     FDSET__V1__REPLY__BODY_DONE, subscribed_read);

    if (!subscribing)
        return NULL;
    subscribing_write(subscribing, kinds);
    subscribing->question.message.subscribe = &subscribing->body;
    subscribing->question.result =
        connection_foreign(&manager->connection) ? connection_say_foreign() : make_room(manager);
    return &subscribing->question;
}

int fdset_subscribe(struct fdset_manager *manager, uint32_t kinds) {
    return question_put(subscribing_new(manager, kinds), NULL, NULL);
}

int fdset_subscribe_submit(struct fdset_manager *manager, uint32_t kinds, fdset_done_function done,
                           void *context) {
    return question_put(subscribing_new(manager, kinds), done, context);
}

/* ------------------------------------------------------------------- reading */

int fdset_next_event(struct fdset_manager *manager, struct fdset_event *event, int timeout_ms) {
    NO_CANCELLATION;
    struct connection *connection = &manager->connection;
    struct timespec point;
    const struct timespec *until = connection_until(&point, timeout_ms);
    unsigned turns = 0;
    if (connection_inherited(connection))
        return connection_say_foreign();
    LOCKED(connection->lock);
    int result = connection_check_entry(connection);
    if (result)
        return result;
    result = 1;
    while (manager->event_count == 0 && result > 0)
        result = pump(connection, until, &turns);
    if (manager->event_count > 0) {
        *event = manager->events[manager->first_event];
        manager->first_event = (manager->first_event + 1) % EVENTS_KEPT;
        manager->event_count--;
        events_changed(manager);
        result = 1;
    }
    waiters_pass_on(connection);
    return result;
}

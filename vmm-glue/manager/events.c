/* SPDX-License-Identifier: MIT */
/* What a manager is told of without asking. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "manager/manager.h"
#include "wire/failure.h"

/* As <fdset/manager.h> says. */
#define EVENTS_KEPT 1024

static void event_read(struct fdset_event *event, const Fdset__V1__Event *from) {
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
    };
    snprintf(event->path, sizeof(event->path), "%s", from->path);
    snprintf(event->name, sizeof(event->name), "%s", from->name);
}

static struct fdset_event *next_place(struct fdset_manager *manager) {
    size_t place = (manager->first_event + manager->event_count++) % EVENTS_KEPT;
    return &manager->events[place];
}

static void keep(struct fdset_manager *manager, const Fdset__V1__Event *from) {
    if (manager->event_count == EVENTS_KEPT) {
        manager->lost++;
        return;
    }
    struct fdset_event *event = next_place(manager);
    event_read(event, from);
    event->lost = manager->lost;
    manager->lost = 0;
}

static struct fdset_manager *manager_of(struct connection *connection) {
    return (struct fdset_manager *)((char *)connection -
                                    offsetof(struct fdset_manager, connection));
}

/* Called with the connection's lock held. */
static void events_arrived(struct connection *connection, const Fdset__V1__Events *events) {
    struct fdset_manager *manager = manager_of(connection);
    manager->lost += events->lost;
    for (size_t i = 0; i < events->n_events; i++)
        keep(manager, events->events[i]);
    connection_news(connection, manager->event_count > 0);
}

/* ------------------------------------------------------------ subscriptions */

static int subscribe(struct connection *connection, uint32_t kinds) {
    Fdset__V1__Subscribe subscribe = FDSET__V1__SUBSCRIBE__INIT;
    Fdset__V1__Request request = REQUEST(subscribe = &subscribe, SUBSCRIBE);
    Fdset__V1__EventKind chosen[32];
    /* RECONNECTED is the library's own, and other bits are none. */
    for (unsigned kind = FDSET_EVENT_ADDED; kind <= FDSET_EVENT_SETTLE_STUCK; kind++)
        if (kinds & FDSET_EVENT_BIT(kind))
            chosen[subscribe.n_kinds++] = (Fdset__V1__EventKind)kind;
    subscribe.kinds = chosen;
    return connection_call(connection, &request, NULL, 0, FDSET__V1__REPLY__BODY_DONE);
}

/* Asks a restarted helper for the same over the fresh connection. */
static int renew(struct connection *connection, struct connection *fresh) {
    struct fdset_manager *manager = manager_of(connection);
    int error = manager->subscribed ? subscribe(fresh, manager->kinds) : 0;
    if (manager->subscribed && !error)
        connection_release(fresh);
    return error;
}

/* Called with the lock held. This event must not be lost: where all places are
 * taken, it takes the last one's. */
static void renewed(struct connection *connection) {
    struct fdset_manager *manager = manager_of(connection);
    struct fdset_event event = {.kind = FDSET_EVENT_RECONNECTED, .set = -1, .lost = manager->lost};
    if (!manager->subscribed)
        return;
    if (manager->event_count == EVENTS_KEPT) {
        manager->event_count--;
        struct fdset_event *last = next_place(manager);
        event.lost += 1 + last->lost;
        *last = event;
    } else {
        *next_place(manager) = event;
    }
    manager->lost = 0;
    connection_news(connection, true);
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

int fdset_subscribe(struct fdset_manager *manager, uint32_t kinds) {
    struct connection *connection = &manager->connection;
    if (connection_foreign(connection))
        return connection_say_foreign();
    int error = make_room(manager);
    if (!error)
        error = subscribe(connection, kinds);
    if (error)
        return error;
    manager->subscribed = true;
    manager->kinds = kinds;
    connection_release(connection);
    return 0;
}

/* ------------------------------------------------------------------- reading */

/* Called with the lock held. */
static void take(struct fdset_manager *manager, struct fdset_event *event) {
    *event = manager->events[manager->first_event];
    manager->first_event = (manager->first_event + 1) % EVENTS_KEPT;
    manager->event_count--;
    connection_news(&manager->connection, manager->event_count > 0);
}

int fdset_next_event(struct fdset_manager *manager, struct fdset_event *event, int timeout_ms) {
    NO_CANCELLATION;
    struct connection *connection = &manager->connection;
    struct timespec point;
    const struct timespec *until = connection_until(&point, timeout_ms);
    int result = 1;
    if (connection_foreign(connection))
        return connection_say_foreign();
    pthread_mutex_lock(&connection->lock);
    while (manager->event_count == 0 && result > 0)
        result = connection_pump(connection, until);
    if (manager->event_count > 0) {
        take(manager, event);
        result = 1;
    }
    connection_pass_on(connection);
    pthread_mutex_unlock(&connection->lock);
    return result;
}

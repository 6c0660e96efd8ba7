/* What a manager is told of without asking. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "failure.h"
#include "manager.h"

/* As <fdset/manager.h> says. */
#define EVENTS_KEPT 1024

static void event_read(struct fdset_event *event, const Fdset__V1__Event *from) {
    *event = (struct fdset_event){
        .kind = (enum fdset_event_kind)from->kind,
        .sequence = from->sequence,
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

static void keep(struct fdset_manager *manager, const Fdset__V1__Event *from) {
    if (manager->event_count == EVENTS_KEPT) {
        manager->lost++;
        return;
    }
    size_t place = (manager->first_event + manager->event_count++) % EVENTS_KEPT;
    event_read(&manager->events[place], from);
    manager->events[place].lost = manager->lost;
    manager->lost = 0;
}

/* Called with the connection's lock held. */
static void events_arrived(struct connection *connection, const Fdset__V1__Events *events) {
    struct fdset_manager *manager =
        (struct fdset_manager *)((char *)connection - offsetof(struct fdset_manager, connection));
    manager->lost += events->lost;
    for (size_t i = 0; i < events->n_events; i++)
        keep(manager, events->events[i]);
}

static int make_room(struct fdset_manager *manager) {
    struct fdset_event *events = calloc(EVENTS_KEPT, sizeof(*events));
    if (!events)
        return fail(ENOMEM, "out of memory");
    pthread_mutex_lock(&manager->connection.lock);
    if (!manager->events) {
        manager->events = events;
        manager->connection.events_arrived = events_arrived;
        events = NULL;
    }
    pthread_mutex_unlock(&manager->connection.lock);
    free(events); /* another thread was first */
    return 0;
}

int fdset_subscribe(struct fdset_manager *manager, uint32_t kinds) {
    Fdset__V1__Subscribe subscribe = FDSET__V1__SUBSCRIBE__INIT;
    Fdset__V1__Request request = REQUEST(subscribe = &subscribe, SUBSCRIBE);
    Fdset__V1__EventKind chosen[32];
    struct connection *connection = &manager->connection;
    int error = make_room(manager);
    if (error)
        return error;
    for (unsigned kind = 0; kind < 32; kind++)
        if (kinds & FDSET_EVENT_BIT(kind))
            chosen[subscribe.n_kinds++] = (Fdset__V1__EventKind)kind;
    subscribe.kinds = chosen;
    error = connection_call(connection, &request, NULL, 0, FDSET__V1__REPLY__BODY_DONE);
    if (!error)
        connection_release(connection);
    return error;
}

/* Called with the lock held. */
static void take(struct fdset_manager *manager, struct fdset_event *event) {
    *event = manager->events[manager->first_event];
    manager->first_event = (manager->first_event + 1) % EVENTS_KEPT;
    manager->event_count--;
}

int fdset_next_event(struct fdset_manager *manager, struct fdset_event *event, int timeout_ms) {
    NO_CANCELLATION;
    struct connection *connection = &manager->connection;
    struct timespec point;
    const struct timespec *until = connection_until(&point, timeout_ms);
    int result = 1;
    if (connection_foreign(connection))
        return fail(ESTALE, "the connection to fdset-helper belongs to the process that made it");
    pthread_mutex_lock(&connection->lock);
    while (manager->event_count == 0 && result > 0)
        result = connection_pump(connection, until);
    if (manager->event_count > 0) {
        take(manager, event);
        result = 1;
    }
    pthread_mutex_unlock(&connection->lock);
    return result;
}

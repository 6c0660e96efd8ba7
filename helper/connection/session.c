/* SPDX-License-Identifier: MIT */
/* Connections from the moment they are accepted until they are hung up. */
#include "connection/session.h"

#include <assert.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "connection/reply.h"
#include "model/lease.h"

/* Listeners, threads, signals. */
#define OTHER_WATCHES 32

int sessions_init(struct sessions *sessions, const struct limits *limits,
                  struct endpoints *endpoints, uint64_t *now_ms) {
    memset(sessions, 0, offsetof(struct sessions, bytes));
    sessions->limits = limits;
    sessions->endpoints = endpoints;
    list_init(&sessions->all);
    list_init(&sessions->gone);
    list_init(&sessions->unread);
    int error = slab_init(&sessions->slab, sizeof(struct session), limits->connections);
    if (error == 0)
        error = slab_init(&sessions->pending_slab, sizeof(struct pending), limits->connections);
    if (error == 0)
        error = deadlines_init(&sessions->resends, limits->connections);
    if (error == 0)
        error = deadlines_init(&sessions->patience, limits->connections);
    if (error == 0)
        error = loop_init(&sessions->loop, limits->connections + OTHER_WATCHES, now_ms);
    return error;
}

struct share *session_share(struct sessions *sessions, enum role role, struct endpoint *endpoint) {
    if (endpoint)
        return &endpoint->shares[RESOURCE_CONNECTIONS];
    return role == ROLE_MANAGER ? &sessions->endpoints->managers : &sessions->endpoints->observers;
}

struct lane *session_lane(struct sessions *sessions, enum role role, struct endpoint *endpoint) {
    if (endpoint)
        return &endpoint->lane;
    return role == ROLE_MANAGER ? &sessions->managers : &sessions->observers;
}

struct session *session_begin(struct sessions *sessions, int socket, enum role role,
                              struct endpoint *endpoint) {
    uint32_t *free = &sessions->endpoints->free[RESOURCE_CONNECTIONS];
    struct share *share = session_share(sessions, role, endpoint);
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t size = sizeof(peer);

    if (!share_take(share, free)) {
        close(socket);
        return NULL;
    }
    struct session *session = slab_take(&sessions->slab); /* as many as all shares together */
    getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size);
    session->watch = (struct watch){
        .fd = socket, .ready = sessions->ready, .lane = session_lane(sessions, role, endpoint)};
    session->sessions = sessions;
    session->number = ++sessions->accepted;
    session->role = role;
    session->uid = peer.uid;
    holder_init(&session->holder, endpoint, session->number, peer.pid);
    list_init(&session->gone);
    list_init(&session->in_endpoint);
    list_init(&session->waits);
    list_init(&session->deferrals);
    if (loop_add(&sessions->loop, &session->watch, EPOLLIN) < 0) {
        slab_give(&sessions->slab, session);
        share_give(share, free);
        close(socket);
        return NULL;
    }
    list_append(&sessions->all, &session->link);
    if (role == ROLE_VMM)
        list_append(&endpoint->sessions, &session->in_endpoint);
    return session;
}

static void close_socket(struct session *session) {
    loop_remove(&session->sessions->loop, &session->watch);
    close(session->watch.fd);
    session->watch.fd = -1;
}

void session_hang_up(struct session *session) {
    if (!session_is_gone(session))
        list_append(&session->sessions->gone, &session->gone);
    outbox_drop(session);
    deadline_stop(&session->sessions->patience, &session->patience);
    session->hung_up = true;
    session->lingers = outbox_in_flight(session);
    if (session->lingers) /* edges, each of which is something that it has received */
        loop_change(&session->sessions->loop, &session->watch, EPOLLOUT | EPOLLET);
    else
        close_socket(session);
}

void session_linger(struct session *session) {
    if (outbox_in_flight(session))
        return;
    session->lingers = false;
    close_socket(session);
    list_remove(&session->gone);
    list_append(&session->sessions->gone, &session->gone);
}

void session_free(struct session *session) {
    struct sessions *sessions = session->sessions;

    list_remove(&session->link);
    list_remove(&session->gone);
    if (session->lingers) {
        list_append(&sessions->unread, &session->gone);
        return;
    }
    assert(session->watch.fd < 0 && session->in_flight == 0);
    list_remove(&session->in_endpoint);
    share_give(session_share(sessions, session->role, session->holder.endpoint),
               &sessions->endpoints->free[RESOURCE_CONNECTIONS]);
    slab_give(&sessions->slab, session);
}

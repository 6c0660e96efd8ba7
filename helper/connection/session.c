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
                  struct endpoints *endpoints, struct settle *settle, uint64_t *now_ms) {
    memset(sessions, 0, offsetof(struct sessions, bytes));
    sessions->limits = limits;
    sessions->endpoints = endpoints;
    sessions->settle = settle;
    list_init(&sessions->all);
    list_init(&sessions->leaving);
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

static void session_give(struct session *session) {
    struct sessions *sessions = session->sessions;

    list_remove(&session->link);
    share_give(session_share(sessions, session->role, session->holder.endpoint),
               &sessions->endpoints->free[RESOURCE_CONNECTIONS]);
    slab_give(&sessions->slab, session);
}

static void leave_socket(struct session *session, int socket) {
    struct leftovers *left = &session->left;

    left->fd[0] = socket;
    left->count = 1;
    settle_leave(session->sessions->settle, left);
}

/* A settle thread has closed what the peer sent, or its socket, or has dropped a packet. */
static void left_done(struct leftovers *left) {
    struct session *session = list_object(left, struct session, left);
    struct sessions *sessions = session->sessions;
    bool dropped = left->drop;

    sessions->received -= session->kept;
    session->kept = 0;
    left->drop = false;
    left->count = 0;
    if (session->socket_left >= 0) {
        leave_socket(session, session->socket_left);
        session->socket_left = -1;
    } else if (session->watch.fd < 0 && !session_is_gone(session)) {
        session_give(session); /* else session_free() is yet to come */
    } else if (dropped && session_takes(session)) {
        loop_change(&sessions->loop, &session->watch, session_events(session));
    }
}

struct session *session_begin(struct sessions *sessions, int socket, enum role role,
                              struct endpoint *endpoint) {
    struct share *share = session_share(sessions, role, endpoint);
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t size = sizeof(peer);

    if (!share_take(share, &sessions->endpoints->free[RESOURCE_CONNECTIONS]))
        return NULL;
    struct session *session = slab_take(&sessions->slab); /* as many as all shares together */
    getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size);
    session->watch = (struct watch){
        .fd = socket, .ready = sessions->ready, .lane = session_lane(sessions, role, endpoint)};
    session->sessions = sessions;
    session->number = ++sessions->accepted;
    session->role = role;
    session->uid = peer.uid;
    session->carries = true;
    session->carrying_bytes = UINT64_MAX;
    session->left.group = role == ROLE_MANAGER ? NULL : share;
    session->left.done = left_done;
    session->socket_left = -1;
    holder_init(&session->holder, endpoint, session->number, peer.pid);
    list_init(&session->link);
    list_init(&session->gone);
    list_init(&session->in_endpoint);
    list_init(&session->waits);
    list_init(&session->deferrals);
    if (loop_add(&sessions->loop, &session->watch, EPOLLIN) < 0) {
        session_give(session);
        return NULL;
    }
    list_append(&sessions->all, &session->link);
    if (role == ROLE_VMM)
        list_append(&endpoint->sessions, &session->in_endpoint);
    return session;
}

static void close_socket(struct session *session) {
    int socket = session->watch.fd;

    loop_remove(&session->sessions->loop, &session->watch);
    session->watch.fd = -1;
    if (!session->carries)
        close(socket);
    else if (session->left.count > 0) /* a thread is at it, or will be */
        session->socket_left = socket;
    else
        leave_socket(session, socket);
}

void session_hang_up_last(struct session *session) {
    if (session->watch.fd < 0)
        return;
    if (!session_is_gone(session))
        list_append(&session->sessions->gone, &session->gone);
    outbox_drop(session);
    close_socket(session);
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
    if (session->left.count > 0)
        list_append(&sessions->leaving, &session->link);
    else
        session_give(session);
}

void session_keep_received(struct session *session, struct packet_descriptors *received) {
    struct sessions *sessions = session->sessions;
    struct leftovers *left = &session->left;

    session->brought = true;
    if (received->count == 0)
        return;
    assert(left->count == 0);
    for (size_t i = 0; i < received->count; i++)
        left->fd[left->count++] = packet_descriptors_take(received, i);
    received->count = 0;
    session->kept = left->count;
    sessions->received += left->count;
    settle_leave(sessions->settle, left);
}

void session_drop_packet(struct session *session) {
    struct leftovers *left = &session->left;

    assert(left->count == 0);
    left->drop = true;
    if (session_takes(session))
        loop_change(&session->sessions->loop, &session->watch, session_events(session));
    leave_socket(session, session->watch.fd);
}

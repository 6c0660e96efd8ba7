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

int sessions_init(struct sessions *sessions, const struct limits *limits, uint64_t *now_ms) {
    memset(sessions, 0, offsetof(struct sessions, bytes));
    sessions->limits = limits;
    list_init(&sessions->all);
    list_init(&sessions->gone);
    int error = slab_init(&sessions->slab, sizeof(struct session), limits->connections);
    if (error == 0)
        error = slab_init(&sessions->pending_slab, sizeof(struct pending), limits->connections);
    if (error == 0)
        error = deadlines_init(&sessions->resends, limits->connections);
    if (error == 0)
        error = loop_init(&sessions->loop, now_ms);
    return error;
}

struct session *session_begin(struct sessions *sessions, int socket, enum role role) {
    struct session *session = slab_take(&sessions->slab);
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t size = sizeof(peer);

    if (!session) {
        close(socket);
        return NULL;
    }
    getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size);
    session->watch = (struct watch){socket, sessions->ready};
    session->sessions = sessions;
    session->number = ++sessions->accepted;
    session->role = role;
    session->uid = peer.uid;
    holder_init(&session->holder, (uint32_t)session->number, peer.pid);
    list_append(&sessions->all, &session->link);
    list_init(&session->gone);
    if (loop_add(&sessions->loop, &session->watch, EPOLLIN) < 0) {
        list_remove(&session->link);
        slab_give(&sessions->slab, session);
        close(socket);
        return NULL;
    }
    return session;
}

void session_hang_up(struct session *session) {
    if (!session_is_gone(session))
        list_append(&session->sessions->gone, &session->gone);
    outbox_drop(session);
    loop_remove(&session->sessions->loop, &session->watch);
    close(session->watch.fd);
    session->watch.fd = -1;
}

void session_free(struct session *session) {
    assert(session->watch.fd < 0);
    list_remove(&session->link);
    list_remove(&session->gone);
    slab_give(&session->sessions->slab, session);
}

struct session *session_find(struct sessions *sessions, uint64_t number) {
    list_for_each (link, &sessions->all) {
        struct session *session = list_object(link, struct session, link);
        if (session->number == number)
            return session;
    }
    assert(!"a session that has ended leaves nothing behind");
    return NULL;
}

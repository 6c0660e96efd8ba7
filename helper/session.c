#include "session.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service.h"

static void receive(struct session *session) {
    struct service *service = session->service;
    struct packet_descriptors *descriptors = &service->received;
    struct packet_info info;

    /* Only a manager may bring descriptors in, and only while there are objects
     * to own them; of others the kernel drops them before they get a number. */
    bool may_carry = session->role == ROLE_MANAGER;
    if (may_carry && !service_can_receive(service)) {
        session->stalled = true;
        loop_change(&service->loop, &session->watch, 0);
        return;
    }
    int result = packet_receive(session->watch.fd, service->request_bytes,
                                may_carry ? descriptors : NULL, MSG_DONTWAIT, &info);
    if (result == -EAGAIN)
        return;
    if (result < 0 || info.hangup)
        session_end(session);
    else
        service_packet(service, session, info.length, may_carry ? descriptors : NULL,
                       info.truncated);
}

/* The descriptors of leases, for one sendmsg. */
static uint32_t lease_descriptors(struct session *session, const uint32_t *leases, uint32_t count,
                                  int *descriptors) {
    for (uint32_t i = 0; i < count; i++) {
        struct lease *lease = lease_find(&session->service->model, &session->holder, leases[i]);
        assert(lease);
        descriptors[i] = lease->member->fd;
    }
    return count;
}

static int try_send(struct session *session, const uint8_t *bytes, uint32_t length,
                    const uint32_t *leases, uint32_t lease_count) {
    int descriptors[PACKET_MAX_DESCRIPTORS];
    lease_descriptors(session, leases, lease_count, descriptors);
    return packet_send(session->watch.fd, bytes, length, descriptors, lease_count, MSG_DONTWAIT);
}

/* The socket cannot take it now, but will. */
static bool is_passing(int result) {
    return result == -EAGAIN || result == -ENOBUFS || result == -ENOMEM;
}

static void keep_pending(struct session *session, const uint8_t *bytes, uint32_t length,
                         const uint32_t *leases, uint32_t lease_count) {
    struct pending *pending = slab_take(&session->service->pending_slab);
    assert(pending); /* one for each session there can be */
    pending->length = length;
    pending->lease_count = lease_count;
    memcpy(pending->bytes, bytes, length);
    if (lease_count > 0)
        memcpy(pending->leases, leases, lease_count * sizeof(*leases));
    session->pending = pending;
    loop_change(&session->service->loop, &session->watch, EPOLLOUT);
}

static void drop_pending(struct session *session) {
    if (session->pending)
        slab_give(&session->service->pending_slab, session->pending);
    session->pending = NULL;
}

int session_send(struct session *session, const uint8_t *bytes, uint32_t length,
                 const uint32_t *leases, uint32_t lease_count) {
    assert(!session->pending && !session->ended);
    if (session->broken)
        return 0;
    int result = try_send(session, bytes, length, leases, lease_count);
    if (result == -ETOOMANYREFS)
        return result;
    if (is_passing(result))
        keep_pending(session, bytes, length, leases, lease_count);
    else if (result < 0)
        session->broken = true;
    return 0;
}

/* The socket has room again. */
static void flush(struct session *session) {
    struct pending *pending = session->pending;
    int result =
        try_send(session, pending->bytes, pending->length, pending->leases, pending->lease_count);
    if (is_passing(result) || result == -ETOOMANYREFS)
        return;
    drop_pending(session);
    if (result < 0 || session->closing) {
        session_end(session);
        return;
    }
    loop_change(&session->service->loop, &session->watch, EPOLLIN);
    service_flushed(session->service);
}

static void session_ready(struct watch *watch, uint32_t epoll_events) {
    struct session *session = list_object(watch, struct session, watch);

    if (session->ended || session->broken)
        return;
    if (session->stalled) {
        if (epoll_events & (EPOLLHUP | EPOLLERR))
            session_end(session);
        return;
    }
    if (session->pending) {
        if (epoll_events & (EPOLLHUP | EPOLLERR))
            session_end(session);
        else
            flush(session);
    } else {
        receive(session);
    }
}

struct session *session_begin(struct service *service, int socket, enum role role) {
    struct session *session = slab_take(&service->session_slab);
    struct ucred peer = {0};
    socklen_t size = sizeof(peer);

    if (!session) {
        close(socket);
        return NULL;
    }
    getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size);
    session->watch = (struct watch){socket, session_ready};
    session->service = service;
    session->number = (uint32_t)++service->accepted;
    session->role = role;
    session->uid = peer.uid;
    holder_init(&session->holder, session->number, peer.pid);
    list_append(&service->sessions, &session->link);
    if (loop_add(&service->loop, &session->watch, EPOLLIN) < 0) {
        list_remove(&session->link);
        slab_give(&service->session_slab, session);
        close(socket);
        return NULL;
    }
    return session;
}

void session_resume(struct session *session) {
    if (!session->stalled || session->ended)
        return;
    session->stalled = false;
    loop_change(&session->service->loop, &session->watch, EPOLLIN);
}

void session_close(struct session *session) {
    if (session->pending)
        session->closing = true;
    else
        session_end(session);
}

void session_end(struct session *session) {
    if (session->ended)
        return;
    session->ended = true;
    drop_pending(session);
    loop_remove(&session->service->loop, &session->watch);
    close(session->watch.fd);
    session->watch.fd = -1;
    service_session_ended(session->service, session);
}

void session_free(struct session *session) {
    assert(session->ended);
    list_remove(&session->link);
    slab_give(&session->service->session_slab, session);
}

struct session *session_find(struct service *service, uint32_t number) {
    list_for_each (link, &service->sessions) {
        struct session *session = list_object(link, struct session, link);
        if (session->number == number)
            return session;
    }
    assert(!"a session that has ended leaves nothing behind");
    return NULL;
}

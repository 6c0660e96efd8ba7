/* SPDX-License-Identifier: MIT */
#include "connection/session.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/sock_diag.h>

#include "requests/state.h"

/* Descriptors that one session may have in flight, OpenMany's largest twice. */
#define IN_FLIGHT_SHARE 512

/* Serves one packet, if there is one. */
static bool receive(struct session *session) {
    struct service *service = session->service;
    struct packet_descriptors *descriptors = &service->received;
    struct packet_info info;

    /* Only a manager may bring descriptors in, and only while there are objects
     * to own them. Otherwise the kernel drops them before they get a number. */
    bool may_carry = session->role == ROLE_MANAGER && service_can_receive(service);
    int result = packet_receive(session->watch.fd, service->request_bytes,
                                may_carry ? descriptors : NULL, MSG_DONTWAIT, &info);
    if (result == -EAGAIN)
        return false;
    if (result < 0 || info.hangup)
        session_end(session);
    else
        service_packet(service, session, info.length, may_carry ? descriptors : NULL,
                       info.truncated);
    return true;
}

/* As many packets as one session is served before another is. */
#define PACKETS_AT_ONCE 4

/* How often one that waits for each reply is suspected not to. */
#define PROBE_EVERY 16

/* Whether to look for another packet at once, which is cheaper than to ask epoll
 * if there is one and lost if there is none. Who sends ahead will have sent
 * more; and a Close, to which there is no reply, is often followed by an Open. */
static bool looks_again(struct session *session) {
    if (session->ended || session->broken || session->closing || session->pending)
        return false;
    if (session->sends_ahead || session->service->last_was_close)
        return true;
    if (session->next_probe == 0)
        session->next_probe = PROBE_EVERY;
    return --session->next_probe == 0;
}

static void serve(struct session *session) {
    bool was_close = true, found = false;

    for (unsigned served = 0; served < PACKETS_AT_ONCE && receive(session); served++) {
        found |= !was_close;
        was_close = session->service->last_was_close;
        if (!looks_again(session))
            break;
    }
    session->sends_ahead = found;
}

/* A packet with descriptors takes at least so much of its sender's buffer. */
#define PACKET_FOOTPRINT 512

/* What the peer has not read yet, in bytes as the kernel accounts for them. */
static uint32_t unread_bytes(int socket) {
    uint32_t info[SK_MEMINFO_VARS] = {0};
    socklen_t size = sizeof(info);

    getsockopt(socket, SOL_SOCKET, SO_MEMINFO, info, &size);
    return info[SK_MEMINFO_WMEM_ALLOC];
}

/* The kernel lets a user have so many descriptors in flight as the sender's
 * limit allows, over all its sockets: a VMM that opens and never reads would
 * use them up for every other. So each session has a share, and only where it
 * seems to be used up is the kernel asked what is still unread. */
static bool has_share(struct session *session, uint32_t count) {
    if (session->in_flight + count > IN_FLIGHT_SHARE) {
        uint32_t unread = unread_bytes(session->watch.fd);
        if (unread == 0)
            session->in_flight = 0;
        else if (session->in_flight > unread / PACKET_FOOTPRINT * session->in_flight_most)
            session->in_flight = unread / PACKET_FOOTPRINT * session->in_flight_most;
    }
    if (session->in_flight == 0)
        session->in_flight_most = 0;
    return session->in_flight + count <= IN_FLIGHT_SHARE;
}

static int try_send(struct session *session, const uint8_t *bytes, uint32_t length,
                    struct lease *const *leases, uint32_t lease_count) {
    int descriptors[FDSET_MAX_DESCRIPTORS];

    if (lease_count > 0 && !has_share(session, lease_count))
        return -ETOOMANYREFS;
    for (uint32_t i = 0; i < lease_count; i++)
        descriptors[i] = leases[i]->member->fd;
    int result = packet_send(session->watch.fd, bytes, length, lease_count ? descriptors : NULL,
                             lease_count, MSG_DONTWAIT);
    if (result == 0) {
        session->in_flight += lease_count;
        if (session->in_flight_most < lease_count)
            session->in_flight_most = lease_count;
    }
    return result;
}

/* It cannot be sent now, but later: where the socket is full, when it has room;
 * where the kernel is short of something, after a while. */
static bool is_passing(int result) {
    return result == -EAGAIN || result == -ETOOMANYREFS || result == -ENOBUFS || result == -ENOMEM;
}

/* What `result` is a lack of, other than room, comes without notice. */
static void note_lack(struct session *session, int result) {
    session->stuffed = result != -EAGAIN;
    session->service->stuffed |= session->stuffed;
}

static void keep_pending(struct session *session, int why, const uint8_t *bytes, uint32_t length,
                         struct lease *const *leases, uint32_t lease_count) {
    struct pending *pending = slab_take(&session->service->pending_slab);
    assert(pending); /* one for each session there can be */
    pending->length = length;
    pending->lease_count = lease_count;
    memcpy(pending->bytes, bytes, length);
    if (lease_count > 0)
        memcpy(pending->leases, leases, lease_count * sizeof(*leases));
    session->pending = pending;
    note_lack(session, why);
    /* Edges, as a peer that has used up its share may leave room enough: each is a packet
     * that it has read. */
    loop_change(&session->service->loop, &session->watch, EPOLLOUT | EPOLLET);
}

static void drop_pending(struct session *session) {
    if (session->pending)
        slab_give(&session->service->pending_slab, session->pending);
    session->pending = NULL;
}

void session_send(struct session *session, const uint8_t *bytes, uint32_t length,
                  struct lease *const *leases, uint32_t lease_count) {
    assert(!session->pending && !session->ended);
    if (session->broken)
        return;
    int result = try_send(session, bytes, length, leases, lease_count);
    if (is_passing(result))
        keep_pending(session, result, bytes, length, leases, lease_count);
    else if (result < 0)
        session->broken = session->service->reap = true;
}

/* The peer has read, or it is time to try again. */
static void flush(struct session *session) {
    struct pending *pending = session->pending;
    int result =
        try_send(session, pending->bytes, pending->length, pending->leases, pending->lease_count);
    if (is_passing(result)) {
        note_lack(session, result);
        return;
    }
    session->stuffed = false;
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
    if (session->pending) {
        if (epoll_events & (EPOLLHUP | EPOLLERR))
            session_end(session);
        else
            flush(session);
    } else {
        serve(session);
    }
}

void session_retry(struct session *session) {
    if (session->stuffed && session->pending && !session->ended && !session->broken)
        flush(session);
}

struct session *session_begin(struct service *service, int socket, enum role role) {
    struct session *session = slab_take(&service->session_slab);
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t size = sizeof(peer);

    if (!session) {
        close(socket);
        return NULL;
    }
    getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size);
    session->watch = (struct watch){socket, session_ready};
    session->service = service;
    session->number = ++service->accepted;
    session->role = role;
    session->uid = peer.uid;
    holder_init(&session->holder, (uint32_t)session->number, peer.pid);
    list_append(&service->sessions, &session->link);
    if (loop_add(&service->loop, &session->watch, EPOLLIN) < 0) {
        list_remove(&session->link);
        slab_give(&service->session_slab, session);
        close(socket);
        return NULL;
    }
    return session;
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
    session->ended = session->service->reap = true;
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

struct session *session_find(struct service *service, uint64_t number) {
    list_for_each (link, &service->sessions) {
        struct session *session = list_object(link, struct session, link);
        if (session->number == number)
            return session;
    }
    assert(!"a session that has ended leaves nothing behind");
    return NULL;
}

/* SPDX-License-Identifier: MIT */
/* What a session is sent, and what it has not yet taken. */
#include "connection/reply.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <linux/sock_diag.h>

/* A packet with descriptors takes at least so much of its sender's buffer. */
#define PACKET_FOOTPRINT 512

/* What the peer has not read yet, in bytes as the kernel accounts for them. */
static uint32_t unread_bytes(int socket) {
    uint32_t info[SK_MEMINFO_VARS] = {0};
    socklen_t size = sizeof(info);

    getsockopt(socket, SOL_SOCKET, SO_MEMINFO, info, &size);
    return info[SK_MEMINFO_WMEM_ALLOC];
}

/* Lowers the session's count to what can still be on its way, by what is unread of it. */
static void look_again(struct session *session) {
    uint32_t most = unread_bytes(session->watch.fd) / PACKET_FOOTPRINT * session->in_flight_most;

    if (session->in_flight <= most)
        return;
    session->holder.endpoint->in_flight -= session->in_flight - most;
    session->in_flight = most;
    if (most == 0)
        session->in_flight_most = 0;
}

/* The kernel lets a user have so many descriptors in flight as the sender's limit allows, over
 * all its sockets and processes: a VM that opens and never reads would use them up for every
 * other. So each endpoint has a share, and only where that seems to be used up is the kernel
 * asked what is still unread: of this connection each time, of the endpoint's others once in a
 * tick of the clock. */
static bool has_share(struct session *session, uint32_t count) {
    struct endpoint *endpoint = session->holder.endpoint;
    uint32_t share = session->sessions->limits->in_flight;
    uint64_t now_ms = *session->sessions->loop.now_ms;

    if (endpoint->in_flight + count > share)
        look_again(session);
    if (endpoint->in_flight + count > share && endpoint->in_flight_ms != now_ms) {
        endpoint->in_flight_ms = now_ms;
        list_for_each (link, &endpoint->sessions) {
            struct session *other = list_object(link, struct session, in_endpoint);
            if (other->in_flight > 0)
                look_again(other);
        }
    }
    return endpoint->in_flight + count <= share;
}

bool outbox_in_flight(struct session *session) {
    if (session->in_flight > 0)
        look_again(session);
    return session->in_flight > 0;
}

/* On the way of every open, hence in its caller. */
static inline __attribute__((always_inline)) int try_send(struct session *session,
                                                          const uint8_t *bytes, uint32_t length,
                                                          struct lease *const *leases,
                                                          uint32_t lease_count) {
    static int descriptors[FDSET_MAX_DESCRIPTORS]; /* too much to be cleared each time */

    if (lease_count > 0 && !has_share(session, lease_count))
        return -ETOOMANYREFS;
    for (uint32_t i = 0; i < lease_count; i++)
        descriptors[i] = leases[i]->member->fd;
    int result = packet_send(session->watch.fd, bytes, length, lease_count ? descriptors : NULL,
                             lease_count, MSG_DONTWAIT);
    if (result == 0 && lease_count > 0) {
        session->holder.endpoint->in_flight += lease_count;
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

/* How soon is tried again what the kernel was short of; and when that has not helped so often. */
#define RESEND_MS       10
#define RESEND_TRIES    8
#define RESEND_LATER_MS 160

/* What `result` is a lack of, other than room, comes without notice. */
static void note_lack(struct session *session, int result) {
    struct deadlines *resends = &session->sessions->resends;
    uint64_t now_ms = *session->sessions->loop.now_ms;

    if (result == -EAGAIN) {
        deadline_stop(resends, &session->resend);
        return;
    }
    bool later = session->tries >= RESEND_TRIES;
    session->tries += !later;
    deadline_start(resends, &session->resend, now_ms + (later ? RESEND_LATER_MS : RESEND_MS));
}

/* A VMM that asks and does not read is waited for only so long. A manager or an observer may
 * look at its events when it likes. */
static void begin_patience(struct session *session) {
    struct sessions *sessions = session->sessions;

    if (session->role != ROLE_VMM || sessions->limits->unread_seconds == 0)
        return;
    session->unread = unread_bytes(session->watch.fd);
    deadline_start(&sessions->patience, &session->patience,
                   *sessions->loop.now_ms + sessions->limits->unread_seconds * UINT64_C(1000));
}

/* While a reply waits, nothing is sent: what is unread only becomes less. */
bool outbox_reads_nothing(struct session *session) {
    uint32_t before = session->unread;

    begin_patience(session);
    return session->unread >= before;
}

static void keep_pending(struct session *session, int why, const uint8_t *bytes, uint32_t length,
                         struct lease *const *leases, uint32_t lease_count) {
    struct pending *pending = slab_take_unclean(&session->sessions->pending_slab);
    assert(pending); /* one for each session there can be */
    pending->length = length;
    pending->lease_count = lease_count;
    memcpy(pending->bytes, bytes, length);
    if (lease_count > 0)
        memcpy(pending->leases, leases, lease_count * sizeof(*leases));
    session->pending = pending;
    session->tries = 0;
    note_lack(session, why);
    begin_patience(session);
    /* Edges, as a peer that has used up its share may leave room enough: each is a packet
     * that it has read. */
    loop_change(&session->sessions->loop, &session->watch, EPOLLOUT | EPOLLET);
}

void outbox_drop(struct session *session) {
    if (!session->pending)
        return;
    slab_give(&session->sessions->pending_slab, session->pending);
    session->pending = NULL;
    deadline_stop(&session->sessions->resends, &session->resend);
    if (session->greeted)
        deadline_stop(&session->sessions->patience, &session->patience);
}

void outbox_send(struct session *session, const uint8_t *bytes, uint32_t length,
                 struct lease *const *leases, uint32_t lease_count) {
    assert(!session->pending);
    if (session_is_gone(session))
        return;
    int result = try_send(session, bytes, length, leases, lease_count);
    if (result == 0)
        return;
    if (is_passing(result))
        keep_pending(session, result, bytes, length, leases, lease_count);
    else
        list_append(&session->sessions->gone, &session->gone);
}

bool outbox_flush(struct session *session) {
    struct pending *pending = session->pending;
    int result =
        try_send(session, pending->bytes, pending->length, pending->leases, pending->lease_count);

    if (is_passing(result)) {
        note_lack(session, result);
        return false;
    }
    outbox_drop(session);
    loop_change(&session->sessions->loop, &session->watch, session_events(session));
    if (result < 0)
        list_append(&session->sessions->gone, &session->gone);
    return true;
}

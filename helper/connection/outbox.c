/* SPDX-License-Identifier: MIT */
/* What a session is sent, and what it has not yet taken. */
#include "connection/reply.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <linux/sock_diag.h>

/* Descriptors that one session may have in flight, OpenMany's largest twice. */
#define IN_FLIGHT_SHARE 512

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
    static int descriptors[FDSET_MAX_DESCRIPTORS]; /* too much to be cleared each time */

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

/* How soon is tried again what the kernel was short of. */
#define RESEND_MS 10

/* What `result` is a lack of, other than room, comes without notice. */
static void note_lack(struct session *session, int result) {
    struct sessions *sessions = session->sessions;

    if (result == -EAGAIN)
        deadline_stop(&sessions->resends, &session->resend);
    else
        deadline_start(&sessions->resends, &session->resend, *sessions->loop.now_ms + RESEND_MS);
}

static void keep_pending(struct session *session, int why, const uint8_t *bytes, uint32_t length,
                         struct lease *const *leases, uint32_t lease_count) {
    struct pending *pending = slab_take(&session->sessions->pending_slab);
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
    loop_change(&session->sessions->loop, &session->watch, EPOLLOUT | EPOLLET);
}

void outbox_drop(struct session *session) {
    if (session->pending)
        slab_give(&session->sessions->pending_slab, session->pending);
    session->pending = NULL;
    deadline_stop(&session->sessions->resends, &session->resend);
}

void outbox_send(struct session *session, const uint8_t *bytes, uint32_t length,
                 struct lease *const *leases, uint32_t lease_count) {
    assert(!session->pending);
    if (session_is_gone(session))
        return;
    int result = try_send(session, bytes, length, leases, lease_count);
    if (is_passing(result))
        keep_pending(session, result, bytes, length, leases, lease_count);
    else if (result < 0)
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
    loop_change(&session->sessions->loop, &session->watch, EPOLLIN);
    if (result < 0)
        list_append(&session->sessions->gone, &session->gone);
    return true;
}

/* SPDX-License-Identifier: MIT */
/* Accepts connections, and turns away whom the socket is not for. */
#include "connection/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "connection/reply.h"

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

/* What it takes to begin with a connection, and to end it. */
#define ACCEPT_WORK (4 * PACKET_WORK)

bool socket_prepare(int socket, enum role role) {
    int none = 0;

    /* Credentials that nobody reads would count as a packet cut short. */
    setsockopt(socket, SOL_SOCKET, SO_PASSCRED, &none, sizeof(none));
    setsockopt(socket, SOL_SOCKET, SO_PASSSEC, &none, sizeof(none));
    /* Older kernels do not know it. */
    return role != ROLE_MANAGER &&
           setsockopt(socket, SOL_SOCKET, SO_PASSRIGHTS, &none, sizeof(none)) == 0;
}

static bool manager_allowed(const struct listener *listener, uid_t uid) {
    const struct manager_policy *policy = listener->policy;

    if (policy->has_unmapped && uid == policy->unmapped)
        return listener->own;
    for (uint32_t i = 0; i < policy->count; i++)
        if (policy->uids[i] == uid)
            return true;
    return false;
}

/* Whether descriptors may lie in the queue of one that is accepted now. */
static bool carries(const struct listener *listener) {
    return !listener->refuses || listener->early;
}

static void hang_up(struct listener *listener, int socket) {
    struct leftovers *left = &listener->turned_away;

    if (!carries(listener)) {
        close(socket);
        return;
    }
    left->fd[left->count++] = socket;
    loop_change(&listener->sessions->loop, &listener->watch, 0);
    settle_leave(listener->sessions->settle, left);
}

static void hung_up(struct leftovers *left) {
    struct listener *listener = list_object(left, struct listener, turned_away);

    left->count = 0;
    if (listener->own_socket.count == 0)
        loop_change(&listener->sessions->loop, &listener->watch, EPOLLIN);
}

static void ended(struct leftovers *left) {
    (void)left;
}

/* Says why and hangs up. The peer's next packet may meet a closed socket, but
 * this one is there for it to read. */
static void turn_away(struct listener *listener, int socket, struct refusal *refusal) {
    size_t length;
    const uint8_t *bytes = reply_encode_error(listener->sessions, 0, refusal, &length);

    packet_send(socket, bytes, length, NULL, 0, MSG_DONTWAIT);
    hang_up(listener, socket);
}

static void refuse_connection(const struct sessions *sessions, const struct share *share,
                              struct refusal *refusal) {
    uint32_t descriptors = sessions->limits->descriptors, taken = share->used;

    if (share->is_given)
        refuse(refusal, REFUSAL_LIMIT, EMFILE,
               "%u connections are taken, as many as this VM may have: start fdset-helper with a "
               "larger connections=N in the --vmm of this VM",
               taken);
    else if (descriptors > 0)
        refuse(
            refusal, REFUSAL_LIMIT, EMFILE,
            "%u connections are taken, as many as this socket may have: " LIMIT_RAISE_DESCRIPTORS,
            taken, descriptors);
    else
        refuse(refusal, REFUSAL_LIMIT, EMFILE,
               "%u connections are taken, as many as this socket may have: " LIMIT_RAISE(
                   "connections"),
               taken);
}

static void refuse_manager(const struct manager_policy *policy, uid_t uid,
                           struct refusal *refusal) {
    if (policy->has_unmapped && uid == policy->unmapped)
        refuse(refusal, REFUSAL_ROLE, EPERM,
               "only the user who started this helper may manage it by a socket that it inherited: "
               "start fdset-helper as root with --manager-uid UID, or with --manage PATH and "
               "--manage-mode");
    else
        refuse(refusal, REFUSAL_ROLE, EPERM,
               "user %u may not manage this helper: start fdset-helper as root with "
               "--manager-uid %u",
               uid, uid);
}

static void admit(struct listener *listener, int socket) {
    struct sessions *sessions = listener->sessions;
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t size = sizeof(peer);
    struct share *share = session_share(sessions, listener->role, listener->endpoint);
    struct refusal refusal;

    if (!share_has(share, sessions->endpoints->free[RESOURCE_CONNECTIONS])) {
        refuse_connection(sessions, share, &refusal);
        turn_away(listener, socket, &refusal);
        return;
    }
    getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size);
    if (listener->role == ROLE_MANAGER && !manager_allowed(listener, peer.uid)) {
        refuse_manager(listener->policy, peer.uid, &refusal);
        turn_away(listener, socket, &refusal);
        return;
    }
    struct session *session = session_begin(sessions, socket, listener->role, listener->endpoint);
    if (!session) {
        hang_up(listener, socket);
        return;
    }
    session->carries = carries(listener);
    if (sessions->limits->hello_seconds > 0)
        deadline_start(&sessions->patience, &session->patience,
                       *sessions->loop.now_ms + sessions->limits->hello_seconds * UINT64_C(1000));
}

/* Whether it may be asked for one more. */
static bool accepts(const struct listener *listener) {
    return listener->turned_away.count == 0 && listener->paused_ms == 0;
}

static void accept_one(struct listener *listener) {
    loop_spend(&listener->sessions->loop, ACCEPT_WORK);
    int socket = accept4(listener->watch.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (socket >= 0) {
        admit(listener, socket);
        return;
    }
    if (errno == EAGAIN)
        listener->early = false;
    /* Whoever waits in the backlog goes on waiting: that harms nobody else. */
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        listener->paused_ms = *listener->sessions->loop.now_ms;
        listener->sessions->paused++;
        loop_change(&listener->sessions->loop, &listener->watch, 0);
    }
}

static void listener_ready(struct watch *watch, uint32_t epoll_events) {
    struct listener *listener = list_object(watch, struct listener, watch);

    if (accepts(listener))
        accept_one(listener);
    /* Until nobody is left who connected before the kernel was told to refuse. */
    if (listener->refuses && listener->early && accepts(listener))
        accept_one(listener);
}

static bool somebody_waits(int socket) {
    struct pollfd look = {.fd = socket, .events = POLLIN};

    return poll(&look, 1, 0) != 0;
}

int listener_begin(struct listener *listener, struct sessions *sessions, int socket, enum role role,
                   struct endpoint *endpoint, bool own, const struct manager_policy *policy) {
    int flags = fcntl(socket, F_GETFL);

    if (flags < 0 || fcntl(socket, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    const void *group = role == ROLE_MANAGER ? NULL : session_share(sessions, role, endpoint);
    *listener = (struct listener){.watch = {.fd = socket,
                                            .ready = listener_ready,
                                            .lane = session_lane(sessions, role, endpoint)},
                                  .sessions = sessions,
                                  .policy = policy,
                                  .role = role,
                                  .endpoint = endpoint,
                                  .own = own,
                                  .refuses = socket_prepare(socket, role),
                                  .turned_away = {.group = group, .done = hung_up},
                                  .own_socket = {.group = group, .done = ended}};
    listener->early = somebody_waits(socket);
    return loop_add(&sessions->loop, &listener->watch, EPOLLIN);
}

void listener_end(struct listener *listener) {
    struct leftovers *left = &listener->own_socket;

    loop_remove(&listener->sessions->loop, &listener->watch);
    left->fd[left->count++] = listener->watch.fd;
    settle_leave(listener->sessions->settle, left);
}

bool listener_resume(struct listener *listener) {
    if (listener->paused_ms == 0)
        return true;
    if (*listener->sessions->loop.now_ms < listener->paused_ms + LISTENER_PAUSE_MS)
        return false;
    listener->paused_ms = 0;
    listener->sessions->paused--;
    loop_change(&listener->sessions->loop, &listener->watch, EPOLLIN);
    return true;
}

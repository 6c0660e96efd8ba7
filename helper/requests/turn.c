/* SPDX-License-Identifier: MIT */
/* A turn of the loop: receives, serves, sends what was kept back, and ends sessions. */
#include "requests/turn.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "connection/reply.h"
#include "model/lease.h"
#include "model/lifetime.h"
#include "requests/chore.h"
#include "requests/dispatch.h"

/* What it had may be much: of that a turn's work at most, and the rest in the turns that
 * follow. */
static void end_some(struct service *service, struct session *session) {
    loop_spend(&service->sessions.loop, TURN_WORK);
    if (!holder_end(&service->model, &session->holder, TURN_WORK / LEASE_WORK)) {
        loop_again(&service->sessions.loop, &session->watch);
        return;
    }
    session->ended = true;
    if (session->role == ROLE_MANAGER)
        model_manager_gone(&service->model, session->number);
    if (session->role == ROLE_VMM && session->greeted)
        service_tell_session(service, &(struct event){.kind = EVENT_VMM_GONE}, session);
}

void session_end(struct session *session) {
    struct service *service = service_of(session);

    session_hang_up(session);
    unsubscribe(service, session);
    waiting_drop(service, session);
    deferrals_drop(service, session);
    chore_end(service, session);
    end_some(service, session);
    /* Those who wait go before whoever asks later in this turn. */
    follow_up(service);
}

static __attribute__((noinline)) void end_gone(struct service *service) {
    struct list *gone = &service->sessions.gone, ending;

    if (list_empty(gone))
        return;
    list_init(&ending);
    /* Who waits for what one had may be served now, and found gone too. */
    while (!list_empty(gone)) {
        struct session *session = list_object(gone->next, struct session, gone);
        if (!session->hung_up)
            session_end(session);
        list_remove(&session->gone);
        list_append(&ending, &session->gone);
        if (session->ended)
            session_free(session);
    }
    list_move(&ending, gone);
}

void turn_end(struct service *service) {
    if (!list_empty(&service->sessions.gone))
        end_gone(service); /* not after most opens */
}

/* Whether descriptors that come with a packet can be kept until a settle thread has closed
 * them. */
static bool has_room(const struct service *service, const struct session *session) {
    const struct sessions *sessions = &service->sessions;

    if (session->role == ROLE_MANAGER)
        return dispatch_takes_descriptors(service);
    return sessions->received + FDSET_MAX_DESCRIPTORS <= sessions->received_most;
}

/* As below, of one with whose packets descriptors may come. One that brings some, for which
 * there is no room, `stays` where it is: of that only the bytes are taken. */
static __attribute__((noinline)) int receive_carrying(struct service *service,
                                                      struct session *session,
                                                      struct packet_info *info, bool *stays) {
    struct packet_descriptors *received = &service->inbox.received;
    uint8_t *bytes = service->inbox.bytes;
    int result;

    received->count = 0;
    if (has_room(service, session)) {
        result = packet_receive(session->watch.fd, bytes, received, MSG_DONTWAIT, info);
    } else {
        result = packet_look(session->watch.fd, bytes, MSG_DONTWAIT, info);
        *stays = result == 0 && info->truncated;
        if (result == 0 && !*stays)
            result = packet_receive(session->watch.fd, bytes, NULL, MSG_DONTWAIT, info);
    }
    if (result == 0)
        session_received(session, info->length);
    if (result == 0 && session->role != ROLE_MANAGER && (*stays || received->count > 0)) {
        info->truncated = true;
        session_keep_received(session, received);
    }
    return result;
}

/* Serves one packet, if there is one. No descriptor that comes with it is closed by being
 * received: it may be the last of what takes its time to close. */
static bool receive(struct service *service, struct session *session, bool *was_close) {
    struct inbox *inbox = &service->inbox;
    bool carries = session->carries, stays = false;
    struct packet_info info;

    loop_spend(&service->sessions.loop, PACKET_WORK);
    int result = carries
                     ? receive_carrying(service, session, &info, &stays)
                     : packet_receive(session->watch.fd, inbox->bytes, NULL, MSG_DONTWAIT, &info);
    if (result == -EAGAIN)
        return false;
    if (result < 0 || info.hangup) {
        session_end(session);
        return true;
    }
    *was_close =
        dispatch(service, session, info.length, carries ? &inbox->received : NULL, info.truncated);
    if (stays)
        session_drop_packet(session);
    /* Who has brought something is not waited for. */
    if (session->leaving && (!session->pending || session->brought))
        session_end(session);
    follow_up(service);
    return true;
}

/* As many packets as one session is served before another is. */
#define PACKETS_AT_ONCE 4

/* How often one that waits for each reply is suspected not to. */
#define PROBE_EVERY 16

/* Whether to look for another packet at once, which is cheaper than to ask epoll
 * if there is one and lost if there is none. Who sends ahead will have sent
 * more; and a Close, to which there is no reply, is often followed by an Open. */
static bool looks_again(struct session *session, bool was_close) {
    if (session->leaving || session->chore || session->left.drop || !session_takes(session))
        return false;
    if (session->sends_ahead || was_close)
        return true;
    if (session->next_probe == 0)
        session->next_probe = PROBE_EVERY;
    return --session->next_probe == 0;
}

static void serve(struct service *service, struct session *session) {
    bool was_close = true, found = false;

    for (unsigned served = 0; served < PACKETS_AT_ONCE && loop_may(&service->sessions.loop);
         served++) {
        bool expected = was_close;
        if (!receive(service, session, &was_close))
            break;
        found |= !expected;
        if (!looks_again(session, was_close))
            break;
    }
    session->sends_ahead = found;
}

/* The peer has read, or it is time to try again. */
static void flush(struct service *service, struct session *session) {
    loop_spend(&service->sessions.loop, PACKET_WORK + (int)session->pending->lease_count);
    if (!outbox_flush(session))
        return;
    if (session_is_gone(session) || session->leaving) {
        session_end(session);
        return;
    }
    if (session->missed) {
        session->missed = false;
        waiting_resume(service, session);
        deferrals_resume(service, session);
    }
    subscription_resume(session);
    if (session->chore)
        loop_again(&service->sessions.loop, &session->watch);
    follow_up(service);
}

static void session_ready(struct watch *watch, uint32_t epoll_events) {
    struct session *session = list_object(watch, struct session, watch);
    struct service *service = service_of(session);

    if (session->lingers)
        session_linger(session);
    if (session_is_gone(session)) {
        if (session->hung_up && !session->ended)
            end_some(service, session);
    } else if (session->pending) {
        if (epoll_events & (EPOLLHUP | EPOLLERR))
            session_end(session);
        else
            flush(service, session);
    } else if (session->chore) {
        chore_step(service, session);
    } else if (!session->left.drop) {
        serve(service, session);
        return;
    }
    follow_up(service);
}

void turn_resend(struct service *service) {
    struct deadline *due;

    /* Each is sent in its turn, or begins to wait anew. */
    while ((due = deadlines_due(&service->sessions.resends, service->model.now_ms))) {
        deadline_stop(&service->sessions.resends, due);
        loop_again(&service->sessions.loop, &list_object(due, struct session, resend)->watch);
    }
}

void turn_lose_patience(struct service *service) {
    struct deadline *due;

    while ((due = deadlines_due(&service->sessions.patience, service->model.now_ms))) {
        struct session *session = list_object(due, struct session, patience);
        if (!session->greeted || outbox_reads_nothing(session))
            session_end(session);
    }
}

int service_init(struct service *service, const struct limits *limits) {
    memset(service, 0, offsetof(struct service, sessions));
    packet_arena_init(&service->inbox.arena);
    int error = model_init(&service->model, limits, SPARE_MEMBERS);
    if (error == 0)
        error = sessions_init(&service->sessions, &service->model.limits, &service->model.endpoints,
                              &service->settle, &service->model.now_ms);
    service->started_ms = service->model.now_ms;
    if (error == 0)
        error = waits_init(&service->waits, limits->waiting);
    if (error == 0)
        error = deferrals_init(&service->deferrals, limits->connections);
    if (error == 0)
        error = subscriptions_init(&service->subscriptions, limits);
    if (error == 0)
        error = chores_init(&service->chore_slab, limits->connections);
    if (error == 0)
        error = settle_init(&service->settle);
    service->sessions.ready = session_ready;
    follow_up_settling(service);
    return error;
}

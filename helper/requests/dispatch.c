/* SPDX-License-Identifier: MIT */
#include "requests/state.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "containers/utf8.h"
#include "feature.h"
#include "requests/deferred.h"
#include "requests/subscription.h"
#include "settle/open_file.h"
#include "shortcut/shortcut.h"
#include "version.h"

static_assert((int)REFUSAL_PROTOCOL == FDSET__V1__CODE__CODE_PROTOCOL &&
                  (int)REFUSAL_LIMIT == FDSET__V1__CODE__CODE_LIMIT &&
                  (int)REFUSAL_PATH == FDSET__V1__CODE__CODE_PATH &&
                  (int)REFUSAL_FLAGS == FDSET__V1__CODE__CODE_FLAGS &&
                  (int)REFUSAL_BAD_FD == FDSET__V1__CODE__CODE_BAD_FD &&
                  (int)REFUSAL_NAME == FDSET__V1__CODE__CODE_NAME &&
                  (int)REFUSAL_NO_MEMBER == FDSET__V1__CODE__CODE_NO_MEMBER,
              "refusal.h and fdset.proto have the same codes");
static_assert((int)ROLE_VMM == FDSET__V1__ROLE__ROLE_VMM &&
                  (int)ROLE_MANAGER == FDSET__V1__ROLE__ROLE_MANAGER &&
                  (int)ROLE_OBSERVER == FDSET__V1__ROLE__ROLE_OBSERVER,
              "session.h and fdset.proto have the same roles");

static_assert((int)EVENT_ADDED == FDSET__V1__EVENT_KIND__EVENT_ADDED &&
                  (int)EVENT_SETTLE_STUCK == FDSET__V1__EVENT_KIND__EVENT_SETTLE_STUCK,
              "event.h and fdset.proto have the same kinds");

#define VERSION 1

/* ------------------------------------------------------------------ replies */

void service_error(Fdset__V1__Error *error, struct refusal *refusal) {
    fdset__v1__error__init(error);
    error->code = (Fdset__V1__Code)refusal->code;
    error->error_number = refusal->error;
    error->text = refusal->text;
}

void service_reply_error(struct service *service, struct session *session, uint32_t serial,
                         struct refusal *refusal) {
    Fdset__V1__Reply reply = FDSET__V1__REPLY__INIT;
    Fdset__V1__Error error;

    service_error(&error, refusal);
    reply.serial = serial;
    reply.body_case = FDSET__V1__REPLY__BODY_ERROR;
    reply.error = &error;
    service_reply(service, session, &reply, NULL, 0);
}

void service_reply(struct service *service, struct session *session, Fdset__V1__Reply *reply,
                   struct lease *const *leases, uint32_t lease_count) {
    reply->descriptors = lease_count;
    int length = reply_encode(reply, service->reply_bytes);
    assert(length > 0); /* every handler keeps within a packet */
    session_send(session, service->reply_bytes, (uint32_t)length, leases, lease_count);
}

void service_reply_done(struct service *service, struct session *session, uint32_t serial) {
    Fdset__V1__Reply reply = FDSET__V1__REPLY__INIT;
    Fdset__V1__Done done = FDSET__V1__DONE__INIT;

    reply.serial = serial;
    reply.body_case = FDSET__V1__REPLY__BODY_DONE;
    reply.done = &done;
    service_reply(service, session, &reply, NULL, 0);
}

/* -------------------------------------------------------------------- hello */

static void tell_session(struct service *service, enum event_kind kind,
                         const struct session *session) {
    struct event event = {
        .kind = kind, .connection = session->holder.connection, .pid = session->holder.pid};

    strcpy(event.name, session->holder.name);
    service_tell(service, &event);
}

/* A name for people: cut off rather than refused, and plain ASCII, so that it
 * upsets neither a terminal nor another peer's decoder. */
static void copy_name(char *to, const char *from) {
    size_t length = strnlen(from, FDSET_MAX_NAME_BYTES);

    memcpy(to, from, length);
    to[length] = '\0';
    make_plain(to);
}

/* The kernel's word of who is at the other end, where it has one; else the peer's own. */
static void learn_pid(struct session *session, pid_t told) {
    if (told > 0 && (session->handed_over || session->holder.pid <= 0))
        session->holder.pid = told;
}

/* What is due now that the peer is known. */
static void greet(struct service *service, struct session *session, const char *label) {
    if (session->role == ROLE_MANAGER && *label) {
        struct owner owner = {session->number, session->owner, session->uid};
        strcpy(session->owner, label);
        model_adopt(&service->model, &owner);
    }
    if (session->role == ROLE_VMM)
        tell_session(service, EVENT_VMM_CONNECTED, session);
}

static int serve_hello(struct service *service, struct session *session,
                       const Fdset__V1__Request *request, struct refusal *refusal) {
    Fdset__V1__Reply reply = FDSET__V1__REPLY__INIT;
    Fdset__V1__HelloReply hello = FDSET__V1__HELLO_REPLY__INIT;
    Fdset__V1__Limits limits = FDSET__V1__LIMITS__INIT;
    const struct limits *ours = &service->model.limits;

    if (request->hello->version == 0) {
        session->closing = true;
        return refuse(refusal, REFUSAL_PROTOCOL, EPROTO,
                      "protocol version 0 does not exist: this helper speaks 1 to %d", VERSION);
    }
    if (strlen(request->hello->owner) > FDSET_MAX_NAME_BYTES || !is_plain(request->hello->owner))
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL,
                      "a label of an owner has at most %d bytes of printable ASCII",
                      FDSET_MAX_NAME_BYTES);
    copy_name(session->holder.name, request->hello->name);
    learn_pid(session, request->hello->pid);
    session->features = request->hello->features & FEATURES_KNOWN;
    session->greeted = true;
    greet(service, session, request->hello->owner);

    limits.sets = ours->sets;
    limits.members = ours->members;
    limits.leases = ours->leases;
    limits.leases_per_vmm = ours->leases_per_vmm;
    limits.connections = ours->connections;
    limits.waiting = ours->waiting;
    limits.packet_bytes = FDSET_MAX_PACKET_BYTES;
    limits.packet_descriptors = FDSET_MAX_DESCRIPTORS;
    limits.holds = ours->holds;
    limits.event_queue = ours->events;
    hello.version = VERSION;
    hello.features = session->features;
    hello.role = (Fdset__V1__Role)session->role;
    hello.helper = (char *)HELPER_VERSION;
    hello.limits = &limits;
    reply.serial = request->serial;
    reply.body_case = FDSET__V1__REPLY__BODY_HELLO;
    reply.hello = &hello;
    service_reply(service, session, &reply, NULL, 0);
    return 0;
}

/* ----------------------------------------------------------------- requests */

#define VMM      (1u << ROLE_VMM)
#define MANAGER  (1u << ROLE_MANAGER)
#define OBSERVER (1u << ROLE_OBSERVER)

/* The table of the roles in fdset.proto. */
static const struct handler {
    const char *name;
    unsigned roles;
    bool carries; /* may bring descriptors */
    serve_function serve;
} handlers[] = {
    [FDSET__V1__REQUEST__BODY_HELLO] = {"Hello", VMM | MANAGER | OBSERVER, false, serve_hello},
    [FDSET__V1__REQUEST__BODY_OPEN] = {"Open", VMM, false, serve_open},
    [FDSET__V1__REQUEST__BODY_OPEN_MANY] = {"OpenMany", VMM, false, serve_open_many},
    [FDSET__V1__REQUEST__BODY_CLOSE] = {"Close", VMM, false, serve_close},
    [FDSET__V1__REQUEST__BODY_ADD_FDS] = {"AddFds", MANAGER, true, serve_add_fds},
    [FDSET__V1__REQUEST__BODY_REMOVE_FD] = {"RemoveFd", MANAGER, false, serve_remove_fd},
    [FDSET__V1__REQUEST__BODY_QUERY] = {"Query", MANAGER | OBSERVER, false, serve_query},
    [FDSET__V1__REQUEST__BODY_HOLD] = {"Hold", VMM, false, serve_hold},
    [FDSET__V1__REQUEST__BODY_UNHOLD] = {"Unhold", VMM, false, serve_unhold},
    [FDSET__V1__REQUEST__BODY_LOOK] = {"Look", VMM, false, serve_look},
    [FDSET__V1__REQUEST__BODY_SUBSCRIBE] = {"Subscribe", MANAGER | OBSERVER, false,
                                            serve_subscribe},
};

static const struct handler *find_handler(const Fdset__V1__Request *request) {
    size_t body = (size_t)request->body_case;
    if (body >= sizeof(handlers) / sizeof(handlers[0]) || !handlers[body].serve)
        return NULL;
    return &handlers[body];
}

static int check_request(const struct service *service, struct session *session,
                         const Fdset__V1__Request *request, bool truncated,
                         struct refusal *refusal) {
    static const char *const roles[] = {"?", "a VMM", "a manager", "an observer"};
    const struct handler *handler = request ? find_handler(request) : NULL;
    bool is_hello = request && request->body_case == FDSET__V1__REQUEST__BODY_HELLO;
    bool is_close = request && request->body_case == FDSET__V1__REQUEST__BODY_CLOSE;

    if (request || !truncated) {
        session->closing = true;
        if (!handler)
            return refuse(refusal, REFUSAL_PROTOCOL, EPROTO,
                          "the packet is no request that protocol version %d knows", VERSION);
        if (is_hello == session->greeted)
            return refuse(refusal, REFUSAL_PROTOCOL, EPROTO,
                          is_hello ? "Hello was said already" : "the first packet must be a Hello");
        if (request->serial == 0 && !is_close)
            return refuse(refusal, REFUSAL_PROTOCOL, EPROTO, "a serial must not be 0");
        session->closing = false;
    }
    if (truncated && session->role != ROLE_MANAGER)
        return refuse(refusal, REFUSAL_DESCRIPTORS, EPROTO,
                      "%s may not send descriptors, nor packets of more than %d bytes",
                      roles[session->role], FDSET_MAX_PACKET_BYTES);
    if (truncated)
        return refuse(refusal, REFUSAL_DESCRIPTORS, EPROTO,
                      "the packet was cut off: more than %d bytes, or descriptors that a security "
                      "module or the helper's limits kept out (many being closed): ask again",
                      FDSET_MAX_PACKET_BYTES);
    if (!(handler->roles & 1u << session->role))
        return refuse(refusal, REFUSAL_ROLE, EPERM,
                      "this socket is for %s, which may not ask for %s: use the helper's %s socket",
                      roles[session->role], handler->name, handler->roles & VMM ? "vmm" : "manage");
    if (request->descriptors != service->offer.count)
        return refuse(refusal, REFUSAL_DESCRIPTORS, EPROTO,
                      "%u descriptors were announced and %u came", request->descriptors,
                      service->offer.count);
    if (service->offer.count > 0 && !handler->carries)
        return refuse(refusal, REFUSAL_DESCRIPTORS, EPROTO, "%s carries no descriptors",
                      handler->name);
    return 0;
}

bool service_can_receive(const struct service *service) {
    const struct slab *slab = &service->model.member_slab;
    return slab->room - slab->used >= FDSET_MAX_DESCRIPTORS;
}

/* From here on the model owns what was received. */
static void take_descriptors(struct service *service, struct packet_descriptors *descriptors) {
    service->offer.count = descriptors ? (uint32_t)descriptors->count : 0;
    for (uint32_t i = 0; i < service->offer.count; i++) {
        service->offer.members[i] =
            member_offer(&service->model, packet_descriptors_take(descriptors, i));
        assert(service->offer.members[i]); /* service_can_receive() */
    }
}

/* `closing` has the request's answer until they are closed, if it is not NULL. */
static void discard_offers(struct service *service, struct closing *closing) {
    for (uint32_t i = 0; i < service->offer.count; i++) {
        struct member *member = service->offer.members[i];
        if (!member)
            continue;
        struct description description = {0};
        member->may_block = description_look(member->fd, &description) < 0 || description.may_block;
        service_note(member, &description);
        if (closing)
            closing_note(service, closing, member);
        member_discard(&service->model, member);
    }
    service->offer.count = 0;
}

void service_packet(struct service *service, struct session *session, size_t length,
                    struct packet_descriptors *descriptors, bool truncated) {
    struct refusal refusal;

    service->model.now_ms = service_now();
    take_descriptors(service, descriptors);
    Fdset__V1__Request *request = request_decode(service->request_bytes, length, &service->arena);
    int result = check_request(service, session, request, truncated, &refusal);
    service->last_was_close = result == 0 && request->body_case == FDSET__V1__REQUEST__BODY_CLOSE;
    service->serving = session;
    if (result == 0)
        result = find_handler(request)->serve(service, session, request, &refusal);
    /* What was refused with descriptors is answered when they are closed. */
    struct closing *closing = NULL;
    if (result < 0 && service->offer.count > 0 && request && !session->closing)
        closing = closing_begin_refusal(service, session, request->serial, &refusal);
    if (result < 0 && !closing)
        service_reply_error(service, session, request ? request->serial : 0, &refusal);
    service->serving = NULL;
    if (session->closing) {
        service->malformed++;
        session_close(session);
    }
    discard_offers(service, closing);
    service_follow_up(service);
}

/* ----------------------------------------------------------------- sessions */

void service_session_ended(struct service *service, struct session *session) {
    service->model.now_ms = service_now();
    unsubscribe(session);
    waiting_drop(service, session);
    closings_drop(service, session);
    holder_end(&service->model, &session->holder);
    if (session->role == ROLE_MANAGER)
        model_manager_gone(&service->model, session->number);
    if (session->role == ROLE_VMM && session->greeted)
        tell_session(service, EVENT_VMM_GONE, session);
    /* Those who wait go before whoever asks later in this turn. */
    service->retry_waiting = true;
    service_settle(service);
    waiting_retry(service);
    service_settle(service);
}

void service_reap(struct service *service) {
    while (service->reap) { /* who waits for what one had may be served now, and found gone too */
        service->reap = false;
        list_for_each_safe (link, &service->sessions) {
            struct session *session = list_object(link, struct session, link);
            if (session->broken)
                session_end(session);
            if (session->ended)
                session_free(session);
        }
    }
}

int service_init(struct service *service, const struct limits *limits) {
    memset(service, 0, offsetof(struct service, arena));
    packet_arena_init(&service->arena);
    list_init(&service->sessions);
    list_init(&service->waiting);
    list_init(&service->closings);
    service->started_ms = service_now();
    int result = model_init(&service->model, limits, SPARE_MEMBERS);
    /* Members may be given before the first request. */
    service->model.now_ms = service->started_ms;
    if (result == 0)
        result = slab_init(&service->session_slab, sizeof(struct session), limits->connections);
    if (result == 0)
        result = slab_init(&service->pending_slab, sizeof(struct pending), limits->connections);
    if (result == 0)
        result = slab_init(&service->waiting_slab, sizeof(struct waiting), limits->waiting);
    if (result == 0)
        result = deadlines_init(&service->waiting_deadlines, limits->waiting);
    if (result == 0)
        result = slab_init(&service->closing_slab, sizeof(struct closing), limits->connections);
    if (result == 0)
        result = deadlines_init(&service->closing_deadlines, limits->connections);
    if (result == 0)
        result = slab_init(&service->subscription_slab, subscription_bytes(limits->events),
                           limits->connections);
    if (result == 0)
        result = loop_init(&service->loop);
    if (result == 0)
        result = settle_init(&service->settle);
    service->settle.done = service_settled;
    service->settle.stuck = service_stuck;
    return result;
}

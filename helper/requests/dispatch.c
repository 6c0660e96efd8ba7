/* SPDX-License-Identifier: MIT */
/* Which function serves which request, and who may ask it. */
#include "requests/dispatch.h"

#include <assert.h>
#include <errno.h>

#include "requests/add_remove.h"
#include "requests/handler.h"
#include "shortcut/shortcut.h"

#define VMM      (1u << ROLE_VMM)
#define MANAGER  (1u << ROLE_MANAGER)
#define OBSERVER (1u << ROLE_OBSERVER)

/* The table of the roles in fdset.proto. */
static const struct handler {
    const char *name;
    unsigned roles;
    bool carries; /* may bring descriptors */
    serve_function *serve;
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
        session->leaving = true;
        if (!handler)
            return refuse(refusal, REFUSAL_PROTOCOL, EPROTO,
                          "the packet is not a request that protocol version %d knows",
                          PROTOCOL_VERSION);
        if (is_hello == session->greeted)
            return refuse(refusal, REFUSAL_PROTOCOL, EPROTO,
                          is_hello ? "Hello was said already" : "the first packet must be a Hello");
        if (request->serial == 0 && !is_close)
            return refuse(refusal, REFUSAL_PROTOCOL, EPROTO, "a serial must not be 0");
        session->leaving = false;
    }
    if (truncated && session->role != ROLE_MANAGER) {
        session->leaving = session->brought;
        return refuse(refusal, REFUSAL_DESCRIPTORS, EPROTO,
                      "%s may not send descriptors, nor packets of more than %d bytes",
                      roles[session->role], FDSET_MAX_PACKET_BYTES);
    }
    if (truncated)
        return refuse(refusal, REFUSAL_DESCRIPTORS, EPROTO,
                      "the packet was cut off: more than %d bytes, or descriptors that a security "
                      "module or the helper's limits kept out (many being closed): ask again",
                      FDSET_MAX_PACKET_BYTES);
    if (!(handler->roles & 1u << session->role))
        return refuse(refusal, REFUSAL_ROLE, EPERM,
                      "this socket is for %s, which may not ask for %s: use the helper's %s socket",
                      roles[session->role], handler->name, handler->roles & VMM ? "vmm" : "manage");
    if (request->descriptors != service->inbox.offer.count)
        return refuse(refusal, REFUSAL_DESCRIPTORS, EPROTO,
                      "%u descriptors were announced and %u came", request->descriptors,
                      service->inbox.offer.count);
    if (service->inbox.offer.count > 0 && !handler->carries)
        return refuse(refusal, REFUSAL_DESCRIPTORS, EPROTO, "%s carries no descriptors",
                      handler->name);
    return 0;
}

bool dispatch_takes_descriptors(const struct service *service) {
    const struct slab *slab = &service->model.member_slab;
    return slab->room - slab->used >= FDSET_MAX_DESCRIPTORS;
}

/* From here on the model owns what was received. */
static void take_descriptors(struct service *service, struct packet_descriptors *descriptors) {
    struct offer *offer = &service->inbox.offer;

    offer->count = descriptors ? (uint32_t)descriptors->count : 0;
    for (uint32_t i = 0; i < offer->count; i++) {
        offer->members[i] = member_offer(&service->model, packet_descriptors_take(descriptors, i));
        assert(offer->members[i]); /* dispatch_takes_descriptors() */
    }
}

static void discard_offer(struct service *service, struct member *member,
                          struct deferred *deferred) {
    struct open_file file = {0};

    member->may_block = open_file_look(member->fd, &file) < 0 || file.may_block;
    member_note(member, &file);
    if (deferred)
        deferred_note(service, deferred, member);
    member_discard(&service->model, member);
}

/* `deferred` is the request's answer that waits until they are closed, or NULL. Of the most
 * requests there is nothing to discard: dispatch() need not make room for it. */
static __attribute__((noinline)) void discard_offers(struct service *service,
                                                     struct deferred *deferred) {
    for (uint32_t i = 0; i < service->inbox.offer.count; i++)
        discard_offer(service, service->inbox.offer.members[i], deferred);
    service->inbox.offer.count = 0;
}

bool dispatch(struct service *service, struct session *session, size_t length,
              struct packet_descriptors *descriptors, bool truncated) {
    struct inbox *inbox = &service->inbox;
    struct refusal *refusal = &inbox->refusal;

    take_descriptors(service, descriptors);
    Fdset__V1__Request *request = request_decode(inbox->bytes, length, &inbox->arena);
    int error = check_request(service, session, request, truncated, refusal);
    bool was_close = error == 0 && request->body_case == FDSET__V1__REQUEST__BODY_CLOSE;
    inbox->serving = session;
    if (error == 0)
        error = find_handler(request)->serve(service, session, request, refusal);
    /* What was refused with descriptors is answered when they are closed. */
    struct deferred *deferred = NULL;
    if (error < 0 && inbox->offer.count > 0 && request && !session->leaving)
        deferred = deferred_begin_refusal(service, session, request->serial, refusal);
    if (error < 0 && !deferred)
        reply_error(session, request ? request->serial : 0, refusal);
    inbox->serving = NULL;
    inbox->malformed += session->leaving;
    if (inbox->offer.count > 0)
        discard_offers(service, deferred);
    return was_close;
}

/* SPDX-License-Identifier: MIT */
/* The first packet of a connection. */
#include "requests/handler.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "containers/utf8.h"
#include "feature.h"
#include "model/lifetime.h"
#include "version.h"

static_assert((int)ROLE_VMM == FDSET__V1__ROLE__ROLE_VMM &&
                  (int)ROLE_MANAGER == FDSET__V1__ROLE__ROLE_MANAGER &&
                  (int)ROLE_OBSERVER == FDSET__V1__ROLE__ROLE_OBSERVER,
              "session.h and fdset.proto have the same roles");

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
        struct owner owner = {session->number, session->owner, session->uid,
                              session->holder.endpoint};
        strcpy(session->owner, label);
        model_adopt(&service->model, &owner);
    }
    if (session->role == ROLE_VMM)
        service_tell_session(service, &(struct event){.kind = EVENT_VMM_CONNECTED}, session);
}

int serve_hello(struct service *service, struct session *session, const Fdset__V1__Request *request,
                struct refusal *refusal) {
    Fdset__V1__HelloReply hello = FDSET__V1__HELLO_REPLY__INIT;
    Fdset__V1__Limits limits = FDSET__V1__LIMITS__INIT;
    const struct limits *ours = &service->model.limits;
    const struct endpoint *endpoint = session->holder.endpoint;

    if (request->hello->version == 0) {
        session->leaving = true;
        return refuse(refusal, REFUSAL_PROTOCOL, EPROTO,
                      "protocol version 0 does not exist: this helper speaks 1 to %d",
                      PROTOCOL_VERSION);
    }
    if (strlen(request->hello->owner) > FDSET_MAX_NAME_BYTES || !is_plain(request->hello->owner))
        return refuse(refusal, REFUSAL_ARGUMENT, EINVAL,
                      "a label of an owner has at most %d bytes of printable ASCII",
                      FDSET_MAX_NAME_BYTES);
    copy_name(session->holder.name, request->hello->name);
    learn_pid(session, request->hello->pid);
    session->features = request->hello->features & FEATURES_KNOWN;
    session->greeted = true;
    deadline_stop(&session->sessions->patience, &session->patience);
    greet(service, session, request->hello->owner);

    limits.sets = ours->sets;
    limits.members = ours->members;
    limits.leases = ours->leases;
    limits.leases_per_vmm =
        session->role == ROLE_VMM ? endpoint->shares[RESOURCE_LEASES].most : ours->leases_per_vmm;
    limits.connections = ours->connections;
    limits.waiting = ours->waiting;
    limits.packet_bytes = FDSET_MAX_PACKET_BYTES;
    limits.packet_descriptors = FDSET_MAX_DESCRIPTORS;
    limits.holds = ours->holds;
    limits.event_queue = ours->events;
    hello.version = PROTOCOL_VERSION;
    hello.features = session->features;
    hello.role = (Fdset__V1__Role)session->role;
    hello.helper = (char *)HELPER_VERSION;
    hello.limits = &limits;
    hello.endpoint = endpoint ? (char *)endpoint->name : hello.endpoint;
    reply_send(session, request->serial, FDSET__V1__REPLY__BODY_HELLO, &hello, NULL, 0);
    return 0;
}

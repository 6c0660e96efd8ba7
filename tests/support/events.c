/* SPDX-License-Identifier: MIT */
/* What subscribers hear: see events.h. */
#include "events.h"

#include <poll.h>

void client_subscribe(struct client *client) {
    Fdset__V1__Subscribe subscribe = FDSET__V1__SUBSCRIBE__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    subscribe.all = true;
    request.body_case = FDSET__V1__REQUEST__BODY_SUBSCRIBE;
    request.subscribe = &subscribe;
    assert_int_equal(client_ask(client, &request)->body_case, REPLY(DONE));
}

/* Several events may come in one packet: those behind the one that was taken
 * wait for the next call. */
const Event *client_event(struct client *client, int kind) {
    for (;;) {
        while (client->events && client->next_event < client->events->n_events) {
            const Event *event = client->events->events[client->next_event++];
            if ((int)event->kind == kind)
                return event;
        }
        Reply *reply = client_answer(client, 0);
        assert_int_equal(reply->body_case, REPLY(EVENTS));
        client->events = reply->events;
        client->next_event = 0;
    }
}

Reply *client_subscribe_to(struct client *client, const int *kinds, size_t count) {
    Fdset__V1__Subscribe subscribe = FDSET__V1__SUBSCRIBE__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    Fdset__V1__EventKind wanted[16];

    subscribe.all = count == ALL_KINDS;
    count = count == ALL_KINDS ? 0 : count;
    assert_true(count <= 16);
    for (size_t i = 0; i < count; i++)
        wanted[i] = (Fdset__V1__EventKind)kinds[i];
    subscribe.kinds = wanted;
    subscribe.n_kinds = count;
    request.body_case = FDSET__V1__REQUEST__BODY_SUBSCRIBE;
    request.subscribe = &subscribe;
    return client_ask(client, &request);
}

struct subscriber subscriber_begin(struct helper *helper, const int *kinds, size_t count) {
    struct subscriber subscriber = {.client = helper_connect(helper, ROLE(OBSERVER), "listener")};
    assert_int_equal(client_subscribe_to(subscriber.client, kinds, count)->body_case, REPLY(DONE));
    return subscriber;
}

struct subscriber subscriber_of_ends(struct helper *helper) {
    return subscriber_begin(helper, (const int[]){EVENT(REMOVED)}, 1);
}

Event *event_next(struct subscriber *subscriber) {
    if (!subscriber->batch || subscriber->next == subscriber->batch->n_events) {
        Reply *reply = client_receive(subscriber->client);
        assert_non_null(reply);
        assert_int_equal(reply->body_case, REPLY(EVENTS));
        assert_int_equal(reply->serial, 0);
        assert_int_equal(reply->descriptors, 0);
        assert_true(reply->events->n_events > 0);
        subscriber->batch = reply->events;
        subscriber->next = 0;
        subscriber->lost += reply->events->lost;
    }
    Event *event = subscriber->batch->events[subscriber->next++];
    assert_true(event->sequence > subscriber->sequence);
    subscriber->sequence = event->sequence;
    return event;
}

Event *event_expect(struct subscriber *subscriber, int kind) {
    Event *event = event_next(subscriber);
    assert_int_equal(event->kind, kind);
    return event;
}

static bool is_of(const Event *event, int set) {
    return event->which_case == FDSET__V1__EVENT__WHICH_SET && event->set == set;
}

Event *event_expect_of(struct subscriber *subscriber, int kind, int set) {
    Event *event = event_expect(subscriber, kind);
    assert_true(is_of(event, set));
    return event;
}

Event *event_await(struct subscriber *subscriber, int kind, int set) {
    for (;;) {
        Event *event = event_next(subscriber);
        if ((int)event->kind == kind && is_of(event, set))
            return event;
    }
}

void event_expect_none(struct helper *helper, struct subscriber *subscriber) {
    struct pollfd ready = {.fd = subscriber->client->socket, .events = POLLIN};

    /* What a reply tells of has been sent by the time it comes: events go out
     * before the next request is looked at. */
    client_barrier(helper->vmm);
    if (subscriber->batch)
        assert_int_equal(subscriber->next, subscriber->batch->n_events);
    assert_int_equal(poll(&ready, 1, 0), 0);
}

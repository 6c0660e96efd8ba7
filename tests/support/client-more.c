/* SPDX-License-Identifier: MIT */
#include "client-more.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

void be_patient(time_t began, const char *condition) {
    if (time(NULL) > began + client_patience)
        fail_msg("in vain waited for: %s", condition);
}

/* ------------------------------------------------------------------ asking */

struct client *helper_connect_owner(struct helper *helper, const char *name, const char *owner) {
    struct client *client = helper_connect_silent(helper, ROLE(MANAGER));
    assert_int_equal(client_hello_as(client, name, owner)->hello->role, ROLE(MANAGER));
    return client;
}

uint32_t client_begin_open(struct client *client, const char *path, int flags, uint32_t wait_ms) {
    uint32_t serial = client_send_patient_open(client, path, flags, wait_ms);
    client_barrier(client);
    return serial;
}

struct opened client_next_opened(struct client *client, uint32_t *serial) {
    struct opened opened = {.fd = -1};
    Reply *reply = client_receive(client);

    assert_non_null(reply);
    *serial = reply->serial;
    if (reply->body_case == REPLY(ERROR)) {
        opened.code = (int)reply->error->code;
        opened.error = reply->error->error_number;
        snprintf(opened.text, sizeof(opened.text), "%s", reply->error->text);
        return opened;
    }
    assert_int_equal(reply->body_case, REPLY(OPENED));
    opened.lease = reply->opened->lease;
    opened.member = reply->opened->member;
    opened.fd = harness_keep(packet_descriptors_take(&client->descriptors, 0));
    return opened;
}

int client_add_new(struct client *client, struct new_set set) {
    Reply *reply = client_add(client, &set, 1);
    if (reply->body_case == REPLY(ERROR))
        fail_msg("add refused: %s", reply->error->text);
    assert_int_equal(reply->body_case, REPLY(ADDED));
    assert_int_equal(reply->added->n_sets, 1);
    assert_int_equal(reply->added->sets[0]->n_members, set.count);
    return reply->added->sets[0]->set;
}

void client_add_refused(struct client *client, struct new_set set, int code, int error_number) {
    assert_refused(client_add(client, &set, 1), code, error_number);
}

QueryReply *client_query_with(struct client *client, const Query *query) {
    Request request = FDSET__V1__REQUEST__INIT;
    request.body_case = FDSET__V1__REQUEST__BODY_QUERY;
    request.query = (Query *)query;
    Reply *reply = client_ask(client, &request);
    if (reply->body_case == REPLY(ERROR))
        fail_msg("query refused: %s", reply->error->text);
    assert_int_equal(reply->body_case, REPLY(QUERY));
    return reply->query;
}

SetInfo *client_find_set(struct client *client, int set) {
    QueryReply *page = client_query(client, SET_ALL, NULL);
    for (size_t i = 0; i < page->n_sets; i++)
        if (page->sets[i]->set == set)
            return page->sets[i];
    return NULL;
}

void client_leave(struct helper *helper, struct client *client) {
    struct client *asking = client == helper->manager ? NULL : helper->manager;
    assert_non_null(asking);
    uint32_t connections = client_totals(asking).connections;
    client_hang_up(client);
    wait_until(client_totals(asking).connections < connections);
}

void helper_forget(struct helper *helper, struct client *client) {
    for (struct client **link = &helper->clients; *link; link = &(*link)->next)
        if (*link == client) {
            *link = client->next;
            client_free(client);
            return;
        }
    fail_msg("not a client of this helper");
}

/* ------------------------------------------------------------------ events */

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

/* --------------------------------------------------------------- processes */

static void child_main(struct helper *helper, int role, const char *name,
                       void (*body)(struct child_side *), struct child_side *side) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setenv("CMOCKA_TEST_ABORT", "1", 1);
    /* Connections that only we end must not live on in this process. */
    for (struct client *other = helper->clients; other; other = other->next)
        if (other->socket >= 0)
            client_hang_up(other);
    side->client = helper_connect(helper, role, name);
    body(side);
    _exit(0);
}

struct child child_start(struct helper *helper, int role, const char *name,
                         void (*body)(struct child_side *), void *data) {
    int up[2], down[2];

    assert_int_equal(pipe2(up, O_CLOEXEC), 0);
    assert_int_equal(pipe2(down, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct child_side side = {.from = down[0], .to = up[1], .data = data};
        close(up[0]);
        close(down[1]);
        child_main(helper, role, name, body, &side);
    }
    close(up[1]);
    close(down[0]);
    return (struct child){pid, harness_keep(up[0]), harness_keep(down[1])};
}

void child_wait(struct child *child) {
    struct pollfd ready = {.fd = child->from, .events = POLLIN};
    char byte;

    if (poll(&ready, 1, client_patience * 1000) != 1 || read(child->from, &byte, 1) != 1)
        fail_msg("the child process has failed, or hangs");
}

void child_go(struct child *child) {
    assert_int_equal(write(child->to, "", 1), 1);
}

void parent_tell(struct child_side *side) {
    assert_int_equal(write(side->to, "", 1), 1);
}

void parent_wait(struct child_side *side) {
    char byte;
    if (read(side->from, &byte, 1) != 1)
        _exit(1); /* it has failed, and says so itself */
}

void child_kill(struct child *child) {
    int status;
    assert_int_equal(kill(child->pid, SIGKILL), 0);
    assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

void child_join(struct child *child) {
    int status;
    assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

uint32_t client_add_disk(struct client *manager, struct new_set set) {
    struct new_member member = {.fd = file_open("disk", O_RDONLY)};
    set.members = &member;
    set.count = 1;
    Reply *reply = client_add(manager, &set, 1);
    if (reply->body_case == REPLY(ERROR))
        fail_msg("add refused: %s", reply->error->text);
    return reply->added->sets[0]->members[0];
}

bool client_has_clock(struct helper *helper, int set) {
    SetInfo *info = client_find_set(helper->manager, set);
    assert_non_null(info);
    return info->clock_case == FDSET__V1__SET_INFO__CLOCK_EXPIRES_MS;
}

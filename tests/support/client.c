/* SPDX-License-Identifier: MIT */
#include "client.h"

#include "harness.h"
#include "oracle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* Long enough for valgrind on a busy machine. */
int client_patience = 20;

struct client *client_new(int socket) {
    struct timeval patience = {.tv_sec = client_patience};
    struct client *client = calloc(1, sizeof(*client));
    assert_non_null(client);
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    packet_arena_init(&client->arena);
    client->socket = socket;
    return client;
}

void client_hang_up(struct client *client) {
    packet_descriptors_close(&client->descriptors);
    if (client->socket >= 0)
        close(client->socket);
    client->socket = -1;
}

void client_free(struct client *client) {
    client_hang_up(client);
    free(client);
}

/* ------------------------------------------------------------- any packet */

void client_send_bytes(struct client *client, const void *bytes, size_t length, const int *fds,
                       size_t fd_count) {
    int result = packet_send(client->socket, bytes, length, fds, fd_count, 0);
    if (client->may_end && (result == -EPIPE || result == -ECONNRESET))
        return;
    if (result < 0)
        fail_msg("cannot send: %s", strerror(-result));
}

uint32_t client_send_announcing(struct client *client, Request *request, uint32_t announced,
                                const int *fds, size_t fd_count) {
    uint8_t bytes[FDSET_MAX_PACKET_BYTES];
    request->serial = ++client->serial;
    request->descriptors = announced;
    int length = packet_encode(&request->base, bytes);
    assert_true(length > 0);
    client_send_bytes(client, bytes, (size_t)length, fds, fd_count);
    return request->serial;
}

uint32_t client_send(struct client *client, Request *request, const int *fds, size_t fd_count) {
    return client_send_announcing(client, request, (uint32_t)fd_count, fds, fd_count);
}

Reply *client_receive(struct client *client) {
    struct packet_info info;
    packet_descriptors_close(&client->descriptors);
    client->events = NULL;
    int result;
    do { /* told once, before what the helper said last, if it left a packet unread */
        result = packet_receive(client->socket, client->bytes, &client->descriptors, 0, &info);
    } while (result == -ECONNRESET);
    if (result == 0 && info.hangup)
        return NULL;
    if (result == -EAGAIN)
        fail_msg("no reply in %d seconds", client_patience);
    assert_int_equal(result, 0);
    assert_false(info.truncated);
    Reply *reply = (Reply *)packet_decode(&fdset__v1__reply__descriptor, client->bytes, info.length,
                                          &client->arena);
    assert_non_null(reply);
    assert_int_equal(reply->descriptors, client->descriptors.count);
    return reply;
}

Reply *client_answer(struct client *client, uint32_t serial) {
    Reply *reply = client_receive(client);
    if (!reply)
        fail_msg("the helper hung up instead of a reply");
    assert_int_equal(reply->serial, serial);
    return reply;
}

Reply *client_ask(struct client *client, Request *request) {
    return client_answer(client, client_send(client, request, NULL, 0));
}

void assert_refused(Reply *reply, int code, int error_number) {
    assert_non_null(reply);
    assert_int_equal(reply->body_case, REPLY(ERROR));
    assert_int_equal(reply->error->code, code);
    assert_int_equal(reply->error->error_number, error_number);
    assert_true(strlen(reply->error->text) > 8);
    assert_int_equal(reply->descriptors, 0);
}

void assert_hung_up(struct client *client) {
    assert_null(client_receive(client));
}

/* ---------------------------------------------------------- hello, opening */

Reply *client_hello(struct client *client, const char *name) {
    return client_hello_as(client, name, "");
}

int client_says_pid;

Reply *client_hello_as(struct client *client, const char *name, const char *owner) {
    Fdset__V1__Hello hello = FDSET__V1__HELLO__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    hello.version = 1;
    hello.features = UINT64_C(1) << FDSET__V1__FEATURE__FEATURE_LOOK;
    hello.name = (char *)name;
    hello.owner = (char *)owner;
    hello.pid = client_says_pid;
    request.body_case = FDSET__V1__REQUEST__BODY_HELLO;
    request.hello = &hello;
    Reply *reply = client_ask(client, &request);
    assert_int_equal(reply->body_case, REPLY(HELLO));
    return reply;
}

char client_last_refusal[512];

static struct opened opened_refused(const Fdset__V1__Error *error) {
    struct opened opened = {.fd = -1, .code = (int)error->code, .error = error->error_number};
    snprintf(opened.text, sizeof(opened.text), "%s", error->text);
    strcpy(client_last_refusal, opened.text);
    assert_true(opened.code != 0);
    assert_true(opened.error > 0);
    return opened;
}

static struct opened opened_given(struct client *client, const Fdset__V1__Opened *given,
                                  size_t *next) {
    struct opened opened = {
        .lease = given->lease, .member = given->member, .truncate = given->truncate};
    assert_true(*next < client->descriptors.count);
    opened.fd = harness_keep(packet_descriptors_take(&client->descriptors, (*next)++));
    assert_true(opened.fd >= 0);
    assert_int_not_equal(opened.lease, 0);
    return opened;
}

uint32_t client_send_open(struct client *client, const char *path, int flags) {
    return client_send_patient_open(client, path, flags, 0);
}

uint32_t client_send_patient_open(struct client *client, const char *path, int flags,
                                  uint32_t wait_ms) {
    Fdset__V1__Open open = FDSET__V1__OPEN__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    open.path = (char *)path;
    open.flags = (uint32_t)flags;
    open.wait_ms = wait_ms;
    request.body_case = FDSET__V1__REQUEST__BODY_OPEN;
    request.open = &open;
    return client_send(client, &request, NULL, 0);
}

struct opened client_opened(struct client *client, uint32_t serial) {
    Reply *reply = client_answer(client, serial);
    size_t next = 0;
    if (reply->body_case == REPLY(ERROR)) {
        assert_int_equal(reply->descriptors, 0);
        return opened_refused(reply->error);
    }
    assert_int_equal(reply->body_case, REPLY(OPENED));
    assert_int_equal(reply->descriptors, 1);
    return opened_given(client, reply->opened, &next);
}

struct opened client_open(struct client *client, const char *path, int flags) {
    return client_opened(client, client_send_open(client, path, flags));
}

struct opened client_open_set(struct client *client, int set, int flags) {
    char path[32];
    snprintf(path, sizeof(path), "/dev/fdset/%d", set);
    return client_open(client, path, flags);
}

void client_open_many(struct client *client, const struct wanted *wanted, size_t count,
                      struct opened *results) {
    Fdset__V1__Open opens[FDSET_MAX_DESCRIPTORS], *pointers[FDSET_MAX_DESCRIPTORS];
    Fdset__V1__OpenMany many = FDSET__V1__OPEN_MANY__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    size_t next = 0;

    assert_true(count <= FDSET_MAX_DESCRIPTORS);
    for (size_t i = 0; i < count; i++) {
        fdset__v1__open__init(&opens[i]);
        opens[i].path = (char *)wanted[i].path;
        opens[i].flags = (uint32_t)wanted[i].flags;
        pointers[i] = &opens[i];
    }
    many.opens = pointers;
    many.n_opens = count;
    request.body_case = FDSET__V1__REQUEST__BODY_OPEN_MANY;
    request.open_many = &many;

    Reply *reply = client_ask(client, &request);
    assert_int_equal(reply->body_case, REPLY(OPENED_MANY));
    assert_int_equal(reply->opened_many->n_results, count);
    for (size_t i = 0; i < count; i++) {
        Fdset__V1__OpenedMany__Result *result = reply->opened_many->results[i];
        if (result->outcome_case == FDSET__V1__OPENED_MANY__RESULT__OUTCOME_ERROR) {
            results[i] = opened_refused(result->error);
        } else {
            assert_int_equal(result->outcome_case, FDSET__V1__OPENED_MANY__RESULT__OUTCOME_OPENED);
            results[i] = opened_given(client, result->opened, &next);
        }
    }
    assert_int_equal(next, reply->descriptors);
}

size_t pack_open_many(uint8_t *bytes, uint32_t serial, size_t opens) {
    char path[] = "/dev/fdset/2";
    Fdset__V1__Open open = FDSET__V1__OPEN__INIT, *pointers[FDSET_MAX_DESCRIPTORS];
    Fdset__V1__OpenMany many = FDSET__V1__OPEN_MANY__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    assert_true(opens <= FDSET_MAX_DESCRIPTORS);
    open.path = path;
    open.flags = O_RDONLY;
    for (size_t i = 0; i < opens; i++)
        pointers[i] = &open;
    many.opens = pointers;
    many.n_opens = opens;
    request.serial = serial;
    request.body_case = FDSET__V1__REQUEST__BODY_OPEN_MANY;
    request.open_many = &many;
    return (size_t)packet_encode(&request.base, bytes);
}

size_t client_flood(struct client *client, const uint8_t *bytes, size_t length) {
    size_t count = 0;
    while (packet_send(client->socket, bytes, length, NULL, 0, MSG_DONTWAIT) == 0)
        count++;
    return count;
}

/* ----------------------------------------------------------------- closing */

void client_close_leases(struct client *client, const uint32_t *leases, size_t count) {
    Fdset__V1__Close close = FDSET__V1__CLOSE__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    close.leases = (uint32_t *)leases;
    close.n_leases = count;
    request.body_case = FDSET__V1__REQUEST__BODY_CLOSE;
    request.close = &close;
    client_send(client, &request, NULL, 0);
}

void client_close(struct client *client, struct opened *opened) {
    harness_close(opened->fd);
    opened->fd = -1;
    client_close_leases(client, &opened->lease, 1);
}

void client_barrier(struct client *client) {
    Request request = FDSET__V1__REQUEST__INIT;
    Fdset__V1__OpenMany none = FDSET__V1__OPEN_MANY__INIT;
    /* Any role gets an error for an OpenMany without opens, and nothing happens. */
    request.body_case = FDSET__V1__REQUEST__BODY_OPEN_MANY;
    request.open_many = &none;
    assert_int_equal(client_ask(client, &request)->body_case, REPLY(ERROR));
}

/* --------------------------------------------------- adding and removing */

uint32_t client_send_add(struct client *client, const struct new_set *sets, size_t count) {
    static Fdset__V1__NewMember members[FDSET_MAX_DESCRIPTORS];
    static Fdset__V1__NewMember *member_pointers[FDSET_MAX_DESCRIPTORS];
    static Fdset__V1__NewMembers additions[FDSET_MAX_DESCRIPTORS];
    static Fdset__V1__NewMembers *pointers[FDSET_MAX_DESCRIPTORS];
    int fds[FDSET_MAX_DESCRIPTORS];
    Fdset__V1__AddFds add = FDSET__V1__ADD_FDS__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    size_t total = 0;

    for (size_t i = 0; i < count; i++) {
        fdset__v1__new_members__init(&additions[i]);
        additions[i].which_case = sets[i].set == SET_NEW ? FDSET__V1__NEW_MEMBERS__WHICH__NOT_SET
                                                         : FDSET__V1__NEW_MEMBERS__WHICH_SET;
        additions[i].set = sets[i].set == SET_NEW ? 0 : sets[i].set;
        additions[i].lifetime = (Fdset__V1__Lifetime)sets[i].lifetime;
        additions[i].name = (char *)(sets[i].name ? sets[i].name : "");
        additions[i].replace = sets[i].replace;
        additions[i].mixed = sets[i].mixed;
        additions[i].grace_ms = sets[i].grace_ms;
        additions[i].idle_ms = sets[i].idle_ms;
        additions[i].members = member_pointers + total;
        additions[i].n_members = sets[i].count;
        pointers[i] = &additions[i];
        for (size_t j = 0; j < sets[i].count; j++, total++) {
            const struct new_member *from = &sets[i].members[j];
            Fdset__V1__NewMember *to = &members[total];
            assert_true(total < FDSET_MAX_DESCRIPTORS);
            fdset__v1__new_member__init(to);
            if (from->opaque) {
                to->label_case = FDSET__V1__NEW_MEMBER__LABEL_OPAQUE;
                to->opaque = (char *)from->opaque;
            }
            to->sharing = (Fdset__V1__Sharing)from->sharing;
            to->serves_read_only = from->serves_read_only;
            to->keep_content = from->keep_content;
            to->keep_locks = from->keep_locks;
            to->allow_socket = from->allow_socket;
            member_pointers[total] = to;
            fds[total] = from->fd;
        }
    }
    add.sets = pointers;
    add.n_sets = count;
    request.body_case = FDSET__V1__REQUEST__BODY_ADD_FDS;
    request.add_fds = &add;
    return client_send(client, &request, fds, total);
}

Reply *client_add(struct client *client, const struct new_set *sets, size_t count) {
    return client_answer(client, client_send_add(client, sets, count));
}

static Fdset__V1__AddedSet *add_one_set(struct client *client, const struct new_set *set) {
    Reply *reply = client_add(client, set, 1);
    if (reply->body_case == REPLY(ERROR))
        fail_msg("add refused: %s", reply->error->text);
    assert_int_equal(reply->body_case, REPLY(ADDED));
    assert_int_equal(reply->added->n_sets, 1);
    assert_int_equal(reply->added->sets[0]->n_members, set->count);
    if (set->set != SET_NEW)
        assert_int_equal(reply->added->sets[0]->set, set->set);
    return reply->added->sets[0];
}

int client_add_set(struct client *client, int set, int lifetime, const struct new_member *members,
                   size_t count) {
    struct new_set new_set = {set, lifetime, members, count};
    return add_one_set(client, &new_set)->set;
}

uint32_t client_add_one(struct client *client, int set, int fd) {
    struct new_member member = {.fd = fd};
    struct new_set new_set = {set, LIFETIME(UNSPECIFIED), &member, 1};
    return add_one_set(client, &new_set)->members[0];
}

uint32_t client_send_remove(struct client *client, int set, uint32_t member, int64_t wait_ms) {
    Fdset__V1__RemoveFd remove = FDSET__V1__REMOVE_FD__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    remove.set = set;
    if (member) {
        remove.which_case = FDSET__V1__REMOVE_FD__WHICH_MEMBER;
        remove.member = member;
    }
    if (wait_ms >= 0) {
        remove.patience_case = FDSET__V1__REMOVE_FD__PATIENCE_WAIT_MS;
        remove.wait_ms = (uint32_t)wait_ms;
    }
    request.body_case = FDSET__V1__REQUEST__BODY_REMOVE_FD;
    request.remove_fd = &remove;
    return client_send(client, &request, NULL, 0);
}

Reply *client_remove(struct client *client, int set, uint32_t member) {
    return client_answer(client, client_send_remove(client, set, member, -1));
}

Reply *client_remove_at_once(struct client *client, int set, uint32_t member) {
    return client_answer(client, client_send_remove(client, set, member, 0));
}

Reply *client_hold(struct client *client, const char *path) {
    Fdset__V1__Hold hold = FDSET__V1__HOLD__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    hold.path = (char *)path;
    request.body_case = FDSET__V1__REQUEST__BODY_HOLD;
    request.hold = &hold;
    return client_ask(client, &request);
}

Reply *client_unhold(struct client *client, const char *path) {
    Fdset__V1__Unhold unhold = FDSET__V1__UNHOLD__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    unhold.path = (char *)path;
    request.body_case = FDSET__V1__REQUEST__BODY_UNHOLD;
    request.unhold = &unhold;
    return client_ask(client, &request);
}

/* ------------------------------------------------------------------ asking */

Reply *client_look(struct client *client, const char *path) {
    Fdset__V1__Look look = FDSET__V1__LOOK__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    look.path = (char *)path;
    request.body_case = FDSET__V1__REQUEST__BODY_LOOK;
    request.look = &look;
    return client_ask(client, &request);
}

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

QueryReply *client_query(struct client *client, int set, const Cursor *after) {
    Fdset__V1__Query query = FDSET__V1__QUERY__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    Cursor cursor = FDSET__V1__CURSOR__INIT;
    if (set != SET_ALL) {
        query.which_case = FDSET__V1__QUERY__WHICH_SET;
        query.set = set;
    }
    if (after) {
        cursor.set = after->set;
        cursor.member = after->member;
        cursor.lease = after->lease;
        cursor.waiting = after->waiting;
        query.after = &cursor;
    }
    request.body_case = FDSET__V1__REQUEST__BODY_QUERY;
    request.query = &query;
    Reply *reply = client_ask(client, &request);
    assert_int_equal(reply->body_case, REPLY(QUERY));
    assert_non_null(reply->query->totals);
    return reply->query;
}

Totals client_totals(struct client *client) {
    return *client_query(client, SET_ALL, NULL)->totals;
}

static void wait_until(struct client *client, bool without_leases) {
    time_t start = time(NULL);
    Totals totals;
    do {
        totals = client_totals(client);
        if (time(NULL) > start + client_patience)
            fail_msg("%u leases and %u members to settle are left", totals.leases, totals.settling);
    } while (totals.settling > 0 || (without_leases && totals.leases > 0));
}

void client_wait_settled(struct client *client) {
    wait_until(client, false);
}

void client_wait_idle(struct client *client) {
    wait_until(client, true);
}

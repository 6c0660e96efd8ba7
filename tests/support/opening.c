/* SPDX-License-Identifier: MIT */
/* Opens, closes, holds and looks, as a VMM asks for them: see opening.h. */
#include "opening.h"

#include "harness.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* ---------------------------------------------------------------- opening */

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

/* -------------------------------------------------------- opens that wait */

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

/* ---------------------------------------------------------------- closing */

void client_close_leases(struct client *client, const uint64_t *leases, size_t count) {
    Fdset__V1__Close close = FDSET__V1__CLOSE__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    close.leases = (uint64_t *)leases;
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

/* ------------------------------------------------------- holding, looking */

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

Reply *client_look(struct client *client, const char *path) {
    Fdset__V1__Look look = FDSET__V1__LOOK__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    look.path = (char *)path;
    request.body_case = FDSET__V1__REQUEST__BODY_LOOK;
    request.look = &look;
    return client_ask(client, &request);
}

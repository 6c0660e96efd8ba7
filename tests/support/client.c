/* SPDX-License-Identifier: MIT */
/* A connection to the helper and the packets on it: see client.h. */
#include "client.h"

#include "oracle.h"

#include <errno.h>
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

/* --------------------------------------------------- what any client says */

Reply *client_hello(struct client *client, const char *name) {
    return client_hello_as(client, name, "");
}

int client_says_pid;

Reply *client_hello_as(struct client *client, const char *name, const char *owner) {
    Fdset__V1__Hello hello = FDSET__V1__HELLO__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    hello.version = 1;
    hello.features =
        1 << FDSET__V1__FEATURE__FEATURE_LOOK | 1 << FDSET__V1__FEATURE__FEATURE_ENDPOINTS;
    hello.name = (char *)name;
    hello.owner = (char *)owner;
    hello.pid = client_says_pid;
    request.body_case = FDSET__V1__REQUEST__BODY_HELLO;
    request.hello = &hello;
    Reply *reply = client_ask(client, &request);
    assert_int_equal(reply->body_case, REPLY(HELLO));
    return reply;
}

void client_barrier(struct client *client) {
    Request request = FDSET__V1__REQUEST__INIT;
    Fdset__V1__OpenMany none = FDSET__V1__OPEN_MANY__INIT;
    /* Any role gets an error for an OpenMany without opens, and nothing happens. */
    request.body_case = FDSET__V1__REQUEST__BODY_OPEN_MANY;
    request.open_many = &none;
    assert_int_equal(client_ask(client, &request)->body_case, REPLY(ERROR));
}

/* --------------------------------------------------------------- patience */

void be_patient(time_t began, const char *condition) {
    if (time(NULL) > began + client_patience)
        fail_msg("in vain waited for: %s", condition);
}

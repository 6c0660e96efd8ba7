/* SPDX-License-Identifier: MIT */
/* A manager's object: its beginning, its end, and what is asked by it, waiting for the answer
 * or not. */
#include "manager/manager.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "wire/failure.h"
#include "wire/handshake.h"
#include "wire/packets.h"
#include "wire/poll.h"
#include "wire/requests.h"

/* It has its result, and goes. */
static int question_end(struct question *question, int result) {
    if (question->end)
        result = question->end(question, result);
    free(question->request.text);
    free(question);
    return result;
}

static int question_ask(struct question *question) {
    struct connection *connection = &question->manager->connection;
    int result;

    do {
        result = connection_call(connection, &question->message, question->descriptors,
                                 question->descriptor_count, question->expected);
        if (result < 0)
            break;
        result = question->read(question, connection->reply);
        reply_release(connection);
    } while (result == QUESTION_GOES_ON);
    return question_end(question, result);
}

/* ------------------------------------------------------------ without waiting */

static int question_send(struct submitted *request, struct connection *connection) {
    struct question *question = (struct question *)request;

    return request_send(connection, &question->message, question->descriptors,
                        question->descriptor_count, &request->waiter);
}

static void question_arrived(struct waiter *waiter, struct connection *connection) {
    struct question *question = (struct question *)waiter;
    int result = waiter->failed ? connection_say_broken(connection, waiter->failed)
                                : reply_check(connection, question->expected);

    if (!result)
        result = question->read(question, connection->reply);
    question->result = result;
    if (result == QUESTION_GOES_ON) {
        unsent_put(connection, &question->request);
        return;
    }
    if (result < 0)
        request_fail(&question->request, result, fdset_error_text());
    request_done(connection, &question->request);
}

static void question_give_out(struct submitted *request) {
    struct question *question = (struct question *)request;
    struct fdset_manager *manager = question->manager;
    fdset_done_function done = question->done;
    void *context = question->context;

    if (request->error)
        request_say_failure(request);
    done(manager, question_end(question, question->result), context);
}

void *question_new(struct fdset_manager *manager, size_t size, Fdset__V1__Request__BodyCase body,
                   Fdset__V1__Reply__BodyCase expected,
                   int (*read)(struct question *, const Fdset__V1__Reply *)) {
    struct question *question = calloc(1, size);

    if (!question)
        return NULL;
    question->request.waiter.arrived = question_arrived;
    question->request.send = question_send;
    question->request.give_out = question_give_out;
    question->manager = manager;
    fdset__v1__request__init(&question->message);
    question->message.body_case = body;
    question->expected = expected;
    question->read = read;
    return question;
}

int question_put(struct question *question, fdset_done_function done, void *context) {
    if (!question)
        return fail(ENOMEM, "out of memory");
    if (question->result < 0)
        return question_end(question, question->result);
    if (!done)
        return question_ask(question);
    question->done = done;
    question->context = context;
    int error = request_submit(&question->manager->connection, &question->request);
    return error ? question_end(question, error) : 0;
}

int fdset_manager_dispatch(struct fdset_manager *manager, int timeout_ms) {
    return requests_dispatch(&manager->connection, timeout_ms);
}

/* -------------------------------------------------------- beginning and end */

/* Consumes `socket`, or fails as connection_dial() has, which has returned it. */
static int manager_new(struct fdset_manager **manager, int socket, const char *path,
                       const struct fdset_manager_options *options) {
    struct fdset_manager_options ours = {0};
    int error = options ? SIZED_TAKE(&ours, options) : 0;

    *manager = NULL;
    if (error) {
        close(socket);
        return error;
    }
    struct identity identity = {FDSET__V1__ROLE__ROLE_MANAGER, path, ours.name, ours.owner};
    *manager = connection_new(sizeof(**manager), socket, &identity, &error);
    return error;
}

int fdset_manager_attach_fd_as(struct fdset_manager **manager, int socket,
                               const struct fdset_manager_options *options) {
    NO_CANCELLATION;

    return manager_new(manager, connection_adopt(socket), NULL, options);
}

int fdset_manager_attach_fd(struct fdset_manager **manager, int socket, const char *name) {
    return fdset_manager_attach_fd_as(manager, socket,
                                      &(struct fdset_manager_options){.name = name});
}

int fdset_manager_connect_as(struct fdset_manager **manager, const char *path,
                             const struct fdset_manager_options *options) {
    NO_CANCELLATION;

    return manager_new(manager, connection_dial(path, true), path, options);
}

int fdset_manager_set_reconnect(struct fdset_manager *manager,
                                const struct fdset_reconnect *reconnect) {
    return connection_set_reconnect(&manager->connection, reconnect);
}

int fdset_manager_connect(struct fdset_manager **manager, const char *path, const char *name) {
    return fdset_manager_connect_as(manager, path, &(struct fdset_manager_options){.name = name});
}

int fdset_manager_socket(const struct fdset_manager *manager) {
    return manager->connection.socket;
}

void fdset_manager_helper_info(struct fdset_manager *manager, struct fdset_helper_info *info) {
    *info = (struct fdset_helper_info){0};
    if (connection_foreign(&manager->connection))
        return;
    LOCKED(manager->connection.lock);

    *info = manager->connection.helper;
}

int fdset_manager_poll_fd(struct fdset_manager *manager) {
    return connection_poll_fd(&manager->connection);
}

void fdset_manager_free(struct fdset_manager *manager) {
    NO_CANCELLATION;

    if (!manager)
        return;
    requests_cancel(&manager->connection);
    connection_close(&manager->connection);
    free(manager->events);
    free(manager);
}

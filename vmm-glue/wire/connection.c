/* SPDX-License-Identifier: MIT */
/* What all layers of a connection need: whose it is, why it is over, lists of requests,
 * points in time. */
#include "wire/connection.h"

#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "wire/failure.h"

int cancellation_off(void) {
    int before;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    return before;
}

void cancellation_restore(const int *before) {
    pthread_setcancelstate(*before, NULL);
}

bool connection_foreign(const struct connection *connection) {
    return connection->owner != getpid();
}

bool connection_inherited(const struct connection *connection) {
    return connection->at_home ? !*connection->at_home : connection_foreign(connection);
}

int connection_say_foreign(void) {
    return fail(ESTALE, "the connection to fdset-helper belongs to the process that made "
                        "it, not to this child of it");
}

int connection_say_broken(const struct connection *connection, int error) {
    switch (error) {
    case ECONNRESET:
        return fail(ECONNRESET, "fdset-helper has hung up or died%s%s",
                    connection->farewell_error ? ": " : "", connection->farewell);
    case ECANCELED:
        return fail(ECANCELED, "the connection to fdset-helper was given up");
    case EPROTO:
        return fail(EPROTO, "what fdset-helper sent is not a reply");
    default:
        return fail(error, "speaking with fdset-helper failed: %m");
    }
}

int connection_check_entry(const struct connection *connection) {
    if (!connection->link.telling || !pthread_equal(connection->link.who, pthread_self()))
        return 0;
    return fail(EDEADLK, "called by the function that is told of the connection's state");
}

const struct timespec *connection_until(struct timespec *until, int timeout_ms) {
    if (timeout_ms < 0)
        return NULL;
    clock_gettime(CLOCK_MONOTONIC, until);
    until->tv_sec += timeout_ms / 1000;
    until->tv_nsec += timeout_ms % 1000 * 1000000L;
    if (until->tv_nsec >= 1000000000L) {
        until->tv_sec++;
        until->tv_nsec -= 1000000000L;
    }
    return until;
}

int connection_remaining_ms(const struct timespec *until) {
    struct timespec now;

    if (!until)
        return -1;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long long left =
        (until->tv_sec - now.tv_sec) * 1000LL + (until->tv_nsec - now.tv_nsec + 999999) / 1000000;
    return left <= 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

void request_put(struct request_list *list, struct submitted *request) {
    request->next = NULL;
    if (list->first)
        list->last->next = request;
    else
        list->first = request;
    list->last = request;
}

struct submitted *request_take_all(struct request_list *list) {
    struct submitted *first = list->first;

    list->first = NULL;
    return first;
}

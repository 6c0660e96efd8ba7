/* SPDX-License-Identifier: MIT */
/* What all layers of a connection need: whose it is, why it is over, lists of requests,
 * points in time; and who waits for what the helper sends. */
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

int connection_refuse(const struct connection *connection) {
    int error = connection_check_entry(connection);

    return error ? error : connection_say_broken(connection, connection->broken);
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

/* ------------------------------------------------------------------ waiters */

void waiter_put(struct connection *connection, struct waiter *waiter) {
    waiter->next = NULL;
    if (connection->waiters)
        connection->last->next = waiter;
    else
        connection->waiters = waiter;
    connection->last = waiter;
}

/* Takes `which` out of the list, or, where that is NULL, the one with this serial. */
static struct waiter *take(struct connection *connection, const struct waiter *which,
                           uint32_t serial) {
    struct waiter *previous = NULL, *waiter = connection->waiters;

    for (; waiter && (which ? waiter != which : waiter->serial != serial); waiter = waiter->next)
        previous = waiter;
    if (!waiter)
        return NULL;
    if (previous)
        previous->next = waiter->next;
    else
        connection->waiters = waiter->next;
    if (connection->last == waiter)
        connection->last = previous;
    return waiter;
}

struct waiter *waiter_take(struct connection *connection, uint32_t serial) {
    return serial ? take(connection, NULL, serial) : NULL;
}

void waiter_sleep(struct connection *connection, struct waiter *waiter) {
    NO_CANCELLATION;

    waiter->asleep = true;
    pthread_cond_wait(&waiter->wake, &connection->lock);
    waiter->asleep = false;
}

int waiters_wait(struct connection *connection, const struct timespec *until) {
    struct waiter waiter = {.wake = PTHREAD_COND_INITIALIZER, .asleep = true};

    waiter_put(connection, &waiter);
    int error =
        until ? pthread_cond_clockwait(&waiter.wake, &connection->lock, CLOCK_MONOTONIC, until)
              : pthread_cond_wait(&waiter.wake, &connection->lock);
    take(connection, &waiter, 0);
    return error != ETIMEDOUT;
}

void waiters_wake(struct connection *connection) {
    for (struct waiter *waiter = connection->waiters; waiter; waiter = waiter->next)
        if (waiter->serial == 0)
            pthread_cond_signal(&waiter->wake);
}

void waiters_fail(struct connection *connection, int error) {
    for (struct waiter *waiter = connection->waiters, *next; waiter; waiter = next) {
        next = waiter->next;
        if (waiter->serial == 0)
            continue;
        take(connection, waiter, 0);
        waiter->failed = error;
        if (waiter->arrived)
            waiter->arrived(waiter, connection);
        else
            pthread_cond_signal(&waiter->wake);
    }
}

void waiters_pass_on(struct connection *connection) {
    struct waiter *next = connection->waiters;

    if (connection->buffers_taken)
        return;
    while (next && !next->asleep)
        next = next->next;
    if (next)
        pthread_cond_signal(&next->wake);
}

/* SPDX-License-Identifier: MIT */
/* Who waits for what the helper sends, and how threads wait for each other. */
#include "wire/waiters.h"

#include <errno.h>

void waiter_put(struct connection *connection, struct waiter *waiter) {
    waiter->next = NULL;
    if (connection->waiters)
        connection->last->next = waiter;
    else
        connection->waiters = waiter;
    connection->last = waiter;
}

/* `previous` is the one before it, NULL for none. */
static void cut(struct connection *connection, struct waiter *previous, struct waiter *waiter) {
    if (previous)
        previous->next = waiter->next;
    else
        connection->waiters = waiter->next;
    if (connection->last == waiter)
        connection->last = previous;
}

struct waiter *waiter_take(struct connection *connection, uint32_t serial) {
    struct waiter *previous = NULL, *waiter = connection->waiters;

    for (; waiter; previous = waiter, waiter = waiter->next) {
        if (waiter->serial != serial || serial == 0)
            continue;
        cut(connection, previous, waiter);
        return waiter;
    }
    return NULL;
}

static void remove_from(struct connection *connection, struct waiter *waiter) {
    struct waiter *previous = NULL, *at = connection->waiters;

    for (; at && at != waiter; at = at->next)
        previous = at;
    if (at)
        cut(connection, previous, waiter);
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
    remove_from(connection, &waiter);
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
        remove_from(connection, waiter);
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

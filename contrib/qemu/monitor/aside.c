/* SPDX-License-Identifier: MIT */
/* Closes in a thread of its own, and waits for that only so long. */
#include "aside.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* How long a close is waited for, where no other hangs already: so a file system that
 * does takes this much once. */
#define CLOSE_MS 200

/* So many closes hang at most, before the next one is done by who asks for it. */
#define HANGING_MAX 256

struct closing {
    size_t count;
    int fd[];
};

static atomic_int hanging;

static void close_all(const int *fds, size_t count) {
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

static void *closing_thread(void *argument) {
    struct closing *closing = argument;

    close_all(closing->fd, closing->count);
    free(closing);
    atomic_fetch_sub(&hanging, 1);
    return NULL;
}

/* No signal interrupts it. */
static bool thread_begin(pthread_t *thread, struct closing *closing) {
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool begun = pthread_create(thread, NULL, closing_thread, closing) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return begun;
}

/* Whether it has ended in time. */
static bool thread_wait(pthread_t thread) {
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += CLOSE_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &until) == 0;
}

void aside_close(const int *fds, size_t count) {
    struct closing *closing =
        count && hanging < HANGING_MAX ? malloc(sizeof(*closing) + count * sizeof(*fds)) : NULL;
    pthread_t thread;

    if (!closing) {
        close_all(fds, count);
        return;
    }
    closing->count = count;
    memcpy(closing->fd, fds, count * sizeof(*fds));
    bool is_first = atomic_fetch_add(&hanging, 1) == 0;
    if (!thread_begin(&thread, closing))
        closing_thread(closing);
    else if (!is_first || !thread_wait(thread))
        pthread_detach(thread);
}

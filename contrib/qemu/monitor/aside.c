/* SPDX-License-Identifier: MIT */
/* Closes in a thread of its own, and waits for that only so long. */
#include "aside.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
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
    atomic_int owners; /* who waits, and who closes: the last frees it */
    sem_t done;
    size_t count;
    int fd[];
};

static atomic_int hanging;

static void closing_leave(struct closing *closing) {
    if (atomic_fetch_sub(&closing->owners, 1) > 1)
        return;
    sem_destroy(&closing->done);
    free(closing);
}

static void close_all(const int *fds, size_t count) {
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

static void *closing_thread(void *argument) {
    struct closing *closing = argument;

    close_all(closing->fd, closing->count);
    atomic_fetch_sub(&hanging, 1);
    sem_post(&closing->done);
    closing_leave(closing);
    return NULL;
}

/* No signal interrupts it. */
static bool thread_begin(struct closing *closing) {
    pthread_t thread;
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool begun = pthread_create(&thread, NULL, closing_thread, closing) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (begun)
        pthread_detach(thread);
    return begun;
}

static void closing_wait(struct closing *closing) {
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += CLOSE_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    while (sem_clockwait(&closing->done, CLOCK_MONOTONIC, &until) < 0 && errno == EINTR)
        ;
}

void aside_close(const int *fds, size_t count) {
    struct closing *closing =
        count && hanging < HANGING_MAX ? malloc(sizeof(*closing) + count * sizeof(*fds)) : NULL;

    if (!closing) {
        close_all(fds, count);
        return;
    }
    closing->owners = 2;
    closing->count = count;
    memcpy(closing->fd, fds, count * sizeof(*fds));
    sem_init(&closing->done, 0, 0);
    bool is_first = atomic_fetch_add(&hanging, 1) == 0;
    if (!thread_begin(closing)) {
        close_all(fds, count);
        atomic_fetch_sub(&hanging, 1);
        closing->owners = 1;
        is_first = false;
    }
    if (is_first)
        closing_wait(closing);
    closing_leave(closing);
}

/* SPDX-License-Identifier: MIT */
/* Closes in threads of its own, and waits for them only so long. */
#include "aside.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

/* How long a close is waited for, where no other hangs already: so a file system that
 * does takes this much once. */
#define CLOSE_MS 200

/* So many closes can hang and others still be done; the threads are there from the start, as
 * none can be made any more when something is closed. */
#define THREADS 4

/* So many wait for a thread, before the next one is closed by who asks for it. */
#define WAITING_MAX 1024

/* More than a thread's calls and its thread-local variables take. */
#define STACK_BYTES ((size_t)64 << 10)

static struct {
    pthread_mutex_t lock;
    pthread_cond_t wanted, idle;
    int fd[WAITING_MAX]; /* a ring */
    size_t first, waiting, under_way, threads;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER,
           .wanted = PTHREAD_COND_INITIALIZER,
           .idle = PTHREAD_COND_INITIALIZER};

static void *closing_thread(void *nothing) {
    pthread_mutex_lock(&queue.lock);
    queue.threads++;
    pthread_cond_signal(&queue.idle);
    for (;;) {
        while (queue.waiting == 0)
            pthread_cond_wait(&queue.wanted, &queue.lock);
        int fd = queue.fd[queue.first];
        queue.first = (queue.first + 1) % WAITING_MAX;
        queue.waiting--;
        queue.under_way++;
        pthread_mutex_unlock(&queue.lock);
        close(fd);
        pthread_mutex_lock(&queue.lock);
        queue.under_way--;
        if (queue.waiting == 0 && queue.under_way == 0)
            pthread_cond_signal(&queue.idle);
    }
    return nothing;
}

/* No signal interrupts them. Returns when all have begun: they do that by calls of their own. */
int aside_begin(void) {
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_t thread;
    size_t made = 0;
    int error = 0;

    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (; made < THREADS && error == 0; made += error == 0)
        error = pthread_create(&thread, &attributes, closing_thread, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    pthread_mutex_lock(&queue.lock);
    while (queue.threads < made)
        pthread_cond_wait(&queue.idle, &queue.lock);
    pthread_mutex_unlock(&queue.lock);
    return -error;
}

/* Whether there is room for it. */
static bool queue_put(int fd) {
    if (queue.threads == 0 || queue.waiting == WAITING_MAX)
        return false;
    queue.fd[(queue.first + queue.waiting++) % WAITING_MAX] = fd;
    pthread_cond_signal(&queue.wanted);
    return true;
}

static void idle_wait(void) {
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += CLOSE_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    while (queue.waiting + queue.under_way > 0 &&
           pthread_cond_clockwait(&queue.idle, &queue.lock, CLOCK_MONOTONIC, &until) == 0)
        ;
}

void aside_close(const int *fds, size_t count) {
    size_t put = 0;

    pthread_mutex_lock(&queue.lock);
    bool is_first = queue.waiting + queue.under_way == 0;
    while (put < count && queue_put(fds[put]))
        put++;
    if (is_first)
        idle_wait();
    pthread_mutex_unlock(&queue.lock);
    for (; put < count; put++)
        close(fds[put]);
}

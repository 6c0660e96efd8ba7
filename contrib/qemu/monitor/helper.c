/* SPDX-License-Identifier: MIT */
#include "helper.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <unistd.h>

#include "aside.h"

/* Events that wait for the main thread; the helper's own queue holds as many. */
#define NOTICES_MAX 256

/* Jobs that wait beside each other; what comes beyond does not wait. */
#define ERRANDS_MAX 32

struct jobs {
    struct job *first, *last;
};

struct helper {
    struct fdset_manager *manager; /* the thread's own */
    struct fdset_reconnect reconnect;
    int manager_fd;             /* the manager's, to be polled */
    int wake_thread, wake_main; /* eventfds */

    pthread_mutex_t lock; /* of what follows */
    struct jobs asked, done;
    struct notice notices[NOTICES_MAX];
    size_t first_notice, notice_count;
    uint64_t lost; /* for want of room in `notices` */
    size_t errands;
};

/* -------------------------------------------------------------------- jobs */

struct job *job_new(void) {
    struct job *job = calloc(1, sizeof *job);

    if (job)
        job->fd = -1;
    return job;
}

void job_free(struct job *job) {
    if (!job)
        return;
    if (job->fd >= 0)
        aside_close(&job->fd, 1);
    json_decref(job->result);
    free(job->opaque);
    free(job->id);
    free(job);
}

static void jobs_put(struct jobs *jobs, struct job *job) {
    job->next = NULL;
    if (jobs->last)
        jobs->last->next = job;
    else
        jobs->first = job;
    jobs->last = job;
}

static struct job *jobs_take(struct jobs *jobs) {
    struct job *job = jobs->first;

    if (!job)
        return NULL;
    jobs->first = job->next;
    if (!jobs->first)
        jobs->last = NULL;
    return job;
}

static void ring(int eventfd) {
    uint64_t one = 1;
    ssize_t length = write(eventfd, &one, sizeof one);
    assert(length == sizeof one || errno == EAGAIN);
}

static void hush(int eventfd) {
    uint64_t rings;
    ssize_t length = read(eventfd, &rings, sizeof rings);
    assert(length == sizeof rings || errno == EAGAIN);
}

/* ------------------------------------------------------------------ thread */

static void notice_keep(struct helper *helper, const struct fdset_event *event) {
    struct timeval now;

    gettimeofday(&now, NULL);
    pthread_mutex_lock(&helper->lock);
    if (helper->notice_count == NOTICES_MAX) {
        helper->lost += 1 + event->lost;
    } else {
        size_t place = (helper->first_notice + helper->notice_count++) % NOTICES_MAX;
        struct notice *notice = &helper->notices[place];
        *notice = (struct notice){*event, now.tv_sec, (int32_t)now.tv_usec};
        notice->event.lost += helper->lost;
        helper->lost = 0;
    }
    pthread_mutex_unlock(&helper->lock);
    ring(helper->wake_main);
}

/* False where there will be none any more. */
static bool take_events(struct helper *helper) {
    struct fdset_event event;
    int result;

    while ((result = fdset_next_event(helper->manager, &event, 0)) > 0)
        notice_keep(helper, &event);
    return result == 0;
}

static void run_job(struct helper *helper, struct job *job) {
    job->run(helper->manager, job);
    /* Before the answer: what was passed is the helper's alone then. */
    if (job->fd >= 0)
        aside_close(&job->fd, 1);
    job->fd = -1;
    pthread_mutex_lock(&helper->lock);
    jobs_put(&helper->done, job);
    pthread_mutex_unlock(&helper->lock);
    ring(helper->wake_main);
}

static void run_jobs(struct helper *helper) {
    struct job *job;

    do {
        pthread_mutex_lock(&helper->lock);
        job = jobs_take(&helper->asked);
        pthread_mutex_unlock(&helper->lock);
        if (job)
            run_job(helper, job);
    } while (job);
}

static void *helper_thread(void *argument) {
    struct helper *helper = argument;
    struct pollfd polled[] = {
        {helper->wake_thread, POLLIN, 0},
        {helper->manager_fd, POLLIN, 0},
    };

    while (true) {
        poll(polled, 2, -1);
        if (polled[0].revents)
            hush(helper->wake_thread);
        run_jobs(helper);
        /* A helper that has gone for good keeps its descriptor readable; one that
         * may come back makes it so when it is time to look. */
        if (polled[1].revents && !take_events(helper) && helper->reconnect.first_ms == 0)
            polled[1].fd = -1;
    }
    return NULL;
}

/* For one job alone. */
struct errand {
    struct helper *helper;
    struct job *job;
};

/* Counts one more, or one less; false: there are too many. */
static bool errand_count(struct helper *helper, bool more) {
    pthread_mutex_lock(&helper->lock);
    bool fits = !more || helper->errands < ERRANDS_MAX;
    if (fits)
        helper->errands += more ? 1 : -1;
    pthread_mutex_unlock(&helper->lock);
    return fits;
}

static void *errand_thread(void *argument) {
    struct errand errand = *(struct errand *)argument;

    free(argument);
    run_job(errand.helper, errand.job);
    errand_count(errand.helper, false);
    return NULL;
}

/* ------------------------------------------------------------- main thread */

static int attach(struct helper *helper, const char *path, int socket) {
    if (!path)
        return fdset_manager_attach_fd(&helper->manager, socket, "fdset-qemu");
    int error = fdset_manager_connect(&helper->manager, path, "fdset-qemu");
    if (error)
        return error;
    /* A command is answered at once, whether the helper is back or not. */
    helper->reconnect = (struct fdset_reconnect){.first_ms = 100, .most_ms = 500, .give_up_ms = 1};
    return fdset_manager_set_reconnect(helper->manager, &helper->reconnect);
}

int helper_open(struct helper **helper, const char *path, int socket) {
    struct helper *new = calloc(1, sizeof *new);

    *helper = NULL;
    if (!new)
        return -ENOMEM;
    pthread_mutex_init(&new->lock, NULL);
    new->wake_thread = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    new->wake_main = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int error = new->wake_thread < 0 || new->wake_main < 0 ? -errno : attach(new, path, socket);
    if (!error)
        error = new->manager_fd = fdset_manager_poll_fd(new->manager);
    if (error >= 0)
        error = aside_run(helper_thread, new);
    if (error)
        return error; /* and the process ends */
    *helper = new;
    return 0;
}

int helper_subscribe(struct fdset_manager *manager) {
    return fdset_subscribe(manager, FDSET_EVENT_BIT(FDSET_EVENT_WANTED) |
                                        FDSET_EVENT_BIT(FDSET_EVENT_CLOSED) |
                                        FDSET_EVENT_BIT(FDSET_EVENT_DENIED));
}

int helper_fd(const struct helper *helper) {
    return helper->wake_main;
}

void helper_acknowledge(struct helper *helper) {
    hush(helper->wake_main);
}

/* False where there can be no thread for it. */
static bool errand_begin(struct helper *helper, struct job *job) {
    if (!errand_count(helper, true))
        return false;
    struct errand *errand = malloc(sizeof *errand);
    if (errand) {
        *errand = (struct errand){helper, job};
        if (aside_run(errand_thread, errand) == 0)
            return true;
    }
    free(errand);
    errand_count(helper, false);
    return false;
}

void helper_submit(struct helper *helper, struct job *job) {
    if (job->waits && errand_begin(helper, job))
        return;
    job->waits = false;
    pthread_mutex_lock(&helper->lock);
    jobs_put(&helper->asked, job);
    pthread_mutex_unlock(&helper->lock);
    ring(helper->wake_thread);
}

struct job *helper_done(struct helper *helper) {
    pthread_mutex_lock(&helper->lock);
    struct job *job = jobs_take(&helper->done);
    pthread_mutex_unlock(&helper->lock);
    return job;
}

bool helper_notice(struct helper *helper, struct notice *notice) {
    pthread_mutex_lock(&helper->lock);
    bool any = helper->notice_count > 0;
    if (any) {
        *notice = helper->notices[helper->first_notice];
        helper->first_notice = (helper->first_notice + 1) % NOTICES_MAX;
        helper->notice_count--;
    }
    pthread_mutex_unlock(&helper->lock);
    return any;
}

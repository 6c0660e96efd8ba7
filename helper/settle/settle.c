/* SPDX-License-Identifier: MIT */
/* The settle threads, and the queues of members and leftovers that wait for one. */
#include "settle/settle.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What a thread works with: two calls deep, no buffers. */
#define STACK_BYTES (256 * 1024)

/* `fd` are `count` descriptors, by number. */
static int job_send(int socket, struct settle_job *job, int *fd, size_t count) {
    struct iovec vectors[] = {{job, sizeof(*job)}, {fd, count * sizeof(*fd)}};
    struct msghdr header = {.msg_iov = vectors, .msg_iovlen = 2};
    return sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* The thread's end waits; the main thread passes MSG_DONTWAIT. `fd` has room for `count`. */
static int job_receive(int socket, struct settle_job *job, int *fd, size_t count, int flags) {
    struct iovec vectors[] = {{job, sizeof(*job)}, {fd, count * sizeof(*fd)}};
    struct msghdr header = {.msg_iov = vectors, .msg_iovlen = 2};
    ssize_t length;

    do {
        length = recvmsg(socket, &header, flags | MSG_CMSG_CLOEXEC);
    } while (length < 0 && errno == EINTR);
    if (length < 0)
        return -errno;
    return length >= (ssize_t)sizeof(*job) ? 0 : -EIO;
}

/* Where the kernel has no memory for it, asking again is all that is left: it
 * waits, in the call, for some to become free. */
static void job_answer(int socket, struct settle_job *job) {
    int result;

    do {
        result = job_send(socket, job, NULL, 0);
    } while (result == -ENOBUFS || result == -ENOMEM);
}

/* A thread that began on another processor would wait for what runs there, for
 * milliseconds where that is busy, and the start would wait for the thread. Hence
 * they begin on ours, which is free while we wait for them. */
static void cpus_narrow(cpu_set_t *before) {
    cpu_set_t every, most, here;

    CPU_ZERO(before);
    if (sched_getaffinity(0, sizeof(*before), before) < 0)
        return;
    /* Where nobody has chosen, what is put back is no choice either: it must not
     * outlast a cpuset that grows. */
    memset(&every, 0xff, sizeof(every));
    if (sched_setaffinity(0, sizeof(every), &every) == 0 &&
        sched_getaffinity(0, sizeof(most), &most) == 0 && CPU_EQUAL(&most, before))
        *before = every;
    CPU_ZERO(&here);
    CPU_SET(sched_getcpu(), &here);
    sched_setaffinity(0, sizeof(here), &here);
}

/* Where nothing is known of before, the kernel refuses the empty set. */
static void cpus_widen(const cpu_set_t *before) {
    sched_setaffinity(0, sizeof(*before), before);
}

static void *thread_main(void *argument) {
    struct settle_thread *thread = argument;
    int socket = thread->thread_end;
    struct settle_job job = {0};
    int fd[FDSET_MAX_DESCRIPTORS + 1];

    cpus_widen(&thread->settle->cpus);
    /* Says that libc's own calls of a thread's beginning are done: see settle_await(). */
    job_answer(socket, &job);
    while (job_receive(socket, &job, fd, sizeof(fd) / sizeof(fd[0]), 0) == 0) {
        job_do(&job, fd);
        job_answer(socket, &job);
    }
    return NULL;
}

/* Whether two members can hold each other up: those of one file system, or of one
 * device, by whatever nodes they were opened. */
static bool depend(const struct member *one, const struct member *other) {
    if (member_is_device(one) || member_is_device(other))
        return one->type == other->type && one->device_number == other->device_number;
    return one->device == other->device;
}

/* A close can take long for what it has to write; all else a file system does at once that
 * answers by itself. */
static bool holds_up(const struct member *busy, const struct member *wanted) {
    return depend(busy, wanted) && (busy->may_block || wanted->work & WORK_CLOSE);
}

static bool is_busy(const struct settle *settle, const struct member *wanted) {
    for (int i = 0; i < SETTLE_THREADS; i++)
        if (settle->threads[i].member && holds_up(settle->threads[i].member, wanted))
            return true;
    return false;
}

static struct member *next_member(struct settle *settle) {
    list_for_each (link, &settle->queue) {
        struct member *member = list_object(link, struct member, queue);
        if (!is_busy(settle, member))
            return member;
    }
    return NULL;
}

static const struct settle_thread *find_idle(const struct settle *settle) {
    for (int i = 0; i < SETTLE_THREADS; i++) {
        const struct settle_thread *thread = &settle->threads[i];
        if (!thread->member && !thread->leftovers)
            return thread;
    }
    return NULL;
}

static struct settle_thread *idle_thread(struct settle *settle) {
    return (struct settle_thread *)find_idle(settle);
}

bool settle_is_free(const struct settle *settle) {
    return find_idle(settle);
}

static int begin(struct settle_thread *thread, struct member *member) {
    struct settle_job job = job_of(member);
    /* The thread is waiting for just this, and its socket is empty. */
    int result = job_send(thread->watch.fd, &job, NULL, 0);
    if (result < 0)
        return result;
    list_remove(&member->queue);
    member->working = member->work;
    thread->member = member;
    thread->since_ms = 0;
    thread->told = false;
    return 0;
}

/* Where a thread is idle, nothing in the queue can be begun: all in it depends on
 * what is under way. So what was added, or a thread that has become idle, is one
 * member to begin and no more, and a long queue of one file system is not walked
 * each time. Not so for device nodes, and after the kernel was short of something. */
static void dispatch_members(struct settle *settle) {
    bool more = settle->starved;

    do {
        struct settle_thread *thread = idle_thread(settle);
        struct member *member = thread ? next_member(settle) : NULL;
        if (!member)
            return;
        settle->starved = begin(thread, member) < 0;
        more |= member_is_device(member);
    } while (more && !settle->starved);
}

static bool may_begin(const struct settle *settle, const struct leftovers *wanted) {
    unsigned strangers = 0;

    for (int i = 0; i < SETTLE_THREADS; i++) {
        const struct leftovers *busy = settle->threads[i].leftovers;
        if (busy && busy->group == wanted->group)
            return false;
        strangers += busy && busy->group;
    }
    return !wanted->group || strangers < SETTLE_STRANGERS;
}

static struct leftovers *next_leftovers(struct settle *settle) {
    list_for_each (link, &settle->leftovers) {
        struct leftovers *leftovers = list_object(link, struct leftovers, queue);
        if (may_begin(settle, leftovers))
            return leftovers;
    }
    return NULL;
}

static int begin_leftovers(struct settle_thread *thread, struct leftovers *leftovers) {
    struct settle_job job = {.leftovers = leftovers->count, .drop = leftovers->drop};
    int result = job_send(thread->watch.fd, &job, leftovers->fd, leftovers->count);

    if (result < 0)
        return result;
    list_remove(&leftovers->queue);
    leftovers->begun = true;
    thread->leftovers = leftovers;
    return 0;
}

/* Those of many groups may wait, as the first of them does: one more is looked for only
 * where it can be begun. */
static void dispatch_leftovers(struct settle *settle) {
    while (!list_empty(&settle->leftovers)) {
        struct settle_thread *thread = idle_thread(settle);
        struct leftovers *leftovers = thread ? next_leftovers(settle) : NULL;
        if (!leftovers)
            return;
        settle->starved = begin_leftovers(thread, leftovers) < 0;
        if (settle->starved)
            return;
    }
}

void settle_dispatch(struct settle *settle) {
    dispatch_members(settle);
    if (!list_empty(&settle->leftovers))
        dispatch_leftovers(settle);
}

static void leftovers_done(struct settle *settle, struct leftovers *leftovers) {
    settle->leftovers_count--;
    leftovers->begun = false;
    leftovers->done(leftovers);
}

static void thread_ready(struct watch *watch, uint32_t epoll_events) {
    struct settle_thread *thread = list_object(watch, struct settle_thread, watch);
    struct settle *settle = thread->settle;
    struct member *member = thread->member;
    struct settle_job job;

    int result = job_receive(watch->fd, &job, NULL, 0, MSG_DONTWAIT);
    if (result == -EAGAIN)
        return; /* the loop says so again */
    assert(result == 0 && (member || thread->leftovers));
    if (!member) {
        struct leftovers *leftovers = thread->leftovers;
        thread->leftovers = NULL;
        leftovers_done(settle, leftovers);
        settle_dispatch(settle);
        return;
    }
    thread->member = NULL;
    settle->count--;
    if (job.work & WORK_RESTORE)
        member->status = job.status;
    settle->done(settle, member, job.work, job.may_block);
    settle_dispatch(settle);
}

int settle_init(struct settle *settle) {
    list_init(&settle->queue);
    list_init(&settle->leftovers);
    settle->count = 0;
    settle->leftovers_count = 0;
    for (int i = 0; i < SETTLE_THREADS; i++) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
            return -errno;
        settle->threads[i] = (struct settle_thread){.watch = {.fd = pair[0], .ready = thread_ready},
                                                    .thread_end = pair[1],
                                                    .settle = settle};
    }
    return 0;
}

int settle_start(struct settle *settle) {
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_t id;
    int result = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    cpus_narrow(&settle->cpus);
    for (int i = 0; i < SETTLE_THREADS && result == 0; i++)
        result = -pthread_create(&id, &attributes, thread_main, &settle->threads[i]);
    cpus_widen(&settle->cpus);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

int settle_await(struct settle *settle) {
    struct settle_job hello;
    int error = 0;

    for (int i = 0; i < SETTLE_THREADS && error == 0; i++)
        error = job_receive(settle->threads[i].watch.fd, &hello, NULL, 0, 0);
    return error;
}

void settle_submit(struct settle *settle, struct member *member) {
    assert(member->work && !member->working && list_empty(&member->queue));
    list_append(&settle->queue, &member->queue);
    settle->count++;
    if (!is_busy(settle, member))
        settle_dispatch(settle);
}

void settle_leave(struct settle *settle, struct leftovers *leftovers) {
    assert(leftovers->count > 0 && !leftovers->begun);
    list_append(&settle->leftovers, &leftovers->queue);
    settle->leftovers_count++;
    dispatch_leftovers(settle);
}

void settle_close_rest(struct settle *settle) {
    list_for_each (link, &settle->leftovers) {
        const struct leftovers *leftovers = list_object(link, struct leftovers, queue);
        for (uint32_t i = 0; i < leftovers->count; i++)
            close(leftovers->fd[i]);
    }
}

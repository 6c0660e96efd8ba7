/* SPDX-License-Identifier: MIT */
/* In the place of settle.c: the same queue, but a thread's work is done when the
 * input says so, and by this one. */
#include "world.h"

#include <assert.h>

void settle_dispatch(struct settle *settle) {
    for (int i = 0; i < SETTLE_THREADS; i++) {
        struct settle_thread *thread = &settle->threads[i];
        if (thread->member || list_empty(&settle->queue))
            continue;
        thread->member = list_object(settle->queue.next, struct member, queue);
        list_remove(&thread->member->queue);
        thread->member->working = thread->member->work;
        thread->since_ms = 0;
        thread->told = false;
    }
}

static void finish_leftovers(struct settle *settle) {
    if (list_empty(&settle->leftovers))
        return;
    struct leftovers *leftovers = list_object(settle->leftovers.next, struct leftovers, queue);
    struct settle_job job = {.leftovers = leftovers->count, .drop = leftovers->drop};

    list_remove(&leftovers->queue);
    job_do(&job, leftovers->fd);
    settle->leftovers_count--;
    leftovers->done(leftovers);
}

void settle_finish(struct settle *settle, unsigned which, bool may_block) {
    struct settle_thread *thread = &settle->threads[which % SETTLE_THREADS];
    struct member *member = thread->member;

    finish_leftovers(settle);
    if (!member)
        return;
    struct settle_job job = job_of(member);
    job.work = member->working;
    job_do(&job, NULL);
    if (job.work & WORK_RESTORE)
        member->status = job.status;
    thread->member = NULL;
    settle->count--;
    settle->done(settle, member, job.work, may_block);
    settle_dispatch(settle);
}

int settle_init(struct settle *settle) {
    list_init(&settle->queue);
    list_init(&settle->leftovers);
    settle->count = 0;
    settle->leftovers_count = 0;
    for (int i = 0; i < SETTLE_THREADS; i++)
        settle->threads[i] = (struct settle_thread){.settle = settle};
    return 0;
}

void settle_submit(struct settle *settle, struct member *member) {
    assert(member->work && !member->working && list_empty(&member->queue));
    list_append(&settle->queue, &member->queue);
    settle->count++;
    settle_dispatch(settle);
}

/* Whatever is long enough ago is done in place. */
bool settle_is_free(const struct settle *settle) {
    return false;
}

void settle_leave(struct settle *settle, struct leftovers *leftovers) {
    assert(leftovers->count > 0 && !leftovers->begun);
    list_append(&settle->leftovers, &leftovers->queue);
    settle->leftovers_count++;
}

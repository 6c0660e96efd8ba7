/* SPDX-License-Identifier: MIT */
/* In the place of settle.c: the same queue, but a thread's work is done when the
 * input says so, and by this one. */
#include "world.h"

#include <assert.h>
#include <unistd.h>

#include "settle/open_file.h"

static void dispatch(struct settle *settle) {
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

void settle_finish(struct settle *settle, unsigned which, bool may_block) {
    struct settle_thread *thread = &settle->threads[which % SETTLE_THREADS];
    struct member *member = thread->member;

    if (!member)
        return;
    unsigned work = member->working;
    if (work & WORK_INSPECT)
        open_file_asks_server(member->fd);
    if (work & WORK_RESTORE) {
        if (!member->keep_locks)
            open_file_unlock(member->fd);
        member->status = open_file_restore_status(member->fd, member->flags);
    }
    if (work & WORK_CLOSE)
        close(member->fd);
    thread->member = NULL;
    settle->count--;
    settle->done(settle, member, work, may_block);
    dispatch(settle);
}

int settle_init(struct settle *settle) {
    list_init(&settle->queue);
    settle->count = 0;
    for (int i = 0; i < SETTLE_THREADS; i++)
        settle->threads[i] = (struct settle_thread){.settle = settle};
    return 0;
}

void settle_submit(struct settle *settle, struct member *member) {
    assert(member->work && !member->working && list_empty(&member->queue));
    list_append(&settle->queue, &member->queue);
    settle->count++;
    dispatch(settle);
}

void settle_watch(struct settle *settle, uint64_t now_ms, uint64_t limit_ms) {
    for (int i = 0; i < SETTLE_THREADS; i++) {
        struct settle_thread *thread = &settle->threads[i];
        if (!thread->member || thread->told)
            continue;
        if (!thread->since_ms)
            thread->since_ms = now_ms;
        if (now_ms - thread->since_ms < limit_ms)
            continue;
        thread->told = true;
        settle->stuck(settle, thread->member);
    }
}

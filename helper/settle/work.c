/* SPDX-License-Identifier: MIT */
/* Begins with the work that the model has queued: in place where the file system answers
 * by itself, else on the settle threads; and tells of what a thread does not end. */
#include "settle/settle.h"

#include "settle/open_file.h"

/* Of how long a lease the locks are cleared in place. As each is compared with all that are
 * there, no more than some thousand can be set in that time, and be cleared in a millisecond. */
#define SHORT_LEASE_MS 100

static bool may_have_many_locks(const struct model *model, const struct member *member) {
    return member->oldest_ms < model->now_ms - SHORT_LEASE_MS && !member->keep_locks;
}

/* What is to be done to the member that no thread is at. A close may be the last, which
 * flushes what was written, frees an unlinked file, or waits for a device's driver: hence it
 * is never done here, whatever the file system. Many locks are cleared here only while all
 * threads wait for others. */
static void begin(struct settle *settle, struct model *model, struct member *member) {
    unsigned work = member->work & ~member->working;
    bool slow = member->may_block || work & (WORK_CLOSE | WORK_INSPECT) ||
                (may_have_many_locks(model, member) && settle_is_free(settle));

    if (member->working && slow)
        return; /* comes back through settle.done() */
    if (slow) {
        settle_submit(settle, member);
        return;
    }
    if (!member->keep_locks)
        open_file_unlock(member->fd);
    member->status = open_file_restore_status(member->fd, member->flags);
    member_unswept(model, member);
    member_settled(model, member, work);
}

void work_sweep(struct model *model, struct member *member) {
    if (!member_sweep_begin(model, member))
        return;
    open_file_sweep(member->fd, member->keep_locks);
    member_settled(model, member, WORK_RESTORE);
}

/* As many in a turn, which take some 10 us. */
#define SWEEPS_AT_ONCE 16

void work_sweep_due(struct model *model) {
    for (int i = 0; i < SWEEPS_AT_ONCE && !list_empty(&model->unswept); i++)
        work_sweep(model, list_object(model->unswept.next, struct member, unswept));
    if (!list_empty(&model->unswept))
        model->sweep_ms = 0; /* in the turns that follow */
}

void work_begin(struct settle *settle, struct model *model) {
    while (!list_empty(&model->unsettled)) {
        struct list *link = model->unsettled.next;
        list_remove(link);
        begin(settle, model, list_object(link, struct member, queue));
    }
#ifdef CHECK_MODEL
    model_check(model);
#endif
}

void settle_watch(struct settle *settle, uint64_t now_ms, uint64_t limit_ms) {
    if (settle->starved)
        settle_dispatch(settle);
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

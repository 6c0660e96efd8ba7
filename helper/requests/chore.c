/* SPDX-License-Identifier: MIT */
/* Requests that are done in pieces. */
#include "requests/chore.h"

#include <assert.h>

#include "requests/state.h"

int chores_init(struct slab *slab, uint32_t room) {
    return slab_init(slab, sizeof(struct chore), room);
}

struct chore *chore_begin(struct service *service, struct session *session, uint32_t serial,
                          size_t count) {
    struct chore *chore = slab_take_unclean(&service->chore_slab);

    assert(chore && !session->chore); /* one for each session there can be */
    chore->serial = serial;
    chore->count = count;
    chore->done = 0;
    session->chore = chore;
    loop_again(&service->sessions.loop, &session->watch);
    return chore;
}

void chore_step(struct service *service, struct session *session) {
    struct chore *chore = session->chore;

    chore->step(service, session, chore);
    if (chore->done == chore->count)
        chore_end(service, session);
    else
        loop_again(&service->sessions.loop, &session->watch);
}

void chore_end(struct service *service, struct session *session) {
    if (session->chore)
        slab_give(&service->chore_slab, session->chore);
    session->chore = NULL;
}

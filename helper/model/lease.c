/* SPDX-License-Identifier: MIT */
/* Who uses what: leases and holds, and those who have them. */
#include "model/lease.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "model/model_private.h"
#include "model/order.h"

void holder_init(struct holder *holder, struct endpoint *endpoint, uint64_t connection, pid_t pid) {
    *holder = (struct holder){.endpoint = endpoint, .connection = connection, .pid = pid};
    list_init(&holder->leases);
    list_init(&holder->holds);
}

const char *lease_who(const struct lease *lease, const struct holder *asks, char text[WHO_BYTES]) {
    const struct holder *holder = lease->holder;

    if (holder->endpoint != asks->endpoint)
        snprintf(text, WHO_BYTES, "another VM");
    else if (holder->pid > 0)
        snprintf(text, WHO_BYTES, "%s (pid %d), lease %llu", holder->name, holder->pid,
                 (unsigned long long)lease->id);
    else
        snprintf(text, WHO_BYTES, "%s (process id not known), lease %llu", holder->name,
                 (unsigned long long)lease->id);
    return text;
}

struct lease *lease_open(struct model *model, struct holder *holder, struct member *member,
                         int flags, struct refusal *refusal) {
    assert(member->state == MEMBER_LISTED && !member_settling(member));
    if (!endpoint_take(&model->endpoints, holder->endpoint, RESOURCE_LEASES)) {
        refuse_share(holder->endpoint, RESOURCE_LEASES, refusal);
        return NULL;
    }
    /* There are as many as all shares together; each field is set here. */
    struct lease *lease = slab_take_unclean(&model->lease_slab);
    lease->id = ++model->last_lease;
    id_table_add(&model->leases_by_id, lease);
    lease->member = member;
    lease->holder = holder;
    lease->flags = flags;
    lease->opened_ms = model->now_ms;
    list_append(&member->leases, &lease->in_member);
    list_append(&holder->leases, &lease->in_holder);
    member->lease_count++;
    member_moved(member);
    member->set->lease_count++;
    holder->lease_count++;
    return lease;
}

void lease_confirm(struct model *model, struct lease *lease) {
    struct fdset *set = lease->member->set;

    model->totals.opens++;
    set_rearm(model, set);
    tell_lease(model, EVENT_OPENED, lease);
    if (set->lifetime != LIFETIME_ONCE)
        return;
    set->spent = true;
    set_clear(model, set);
}

struct lease *lease_find(const struct model *model, const struct holder *holder, uint64_t id) {
    struct lease *lease = model_find_lease(model, id);
    return lease && lease->holder == holder ? lease : NULL;
}

/* Returns whether it was its member's last. */
static bool lease_drop(struct model *model, struct lease *lease) {
    struct member *member = lease->member;

    list_remove(&lease->in_member);
    list_remove(&lease->in_holder);
    id_table_drop(&model->leases_by_id, lease);
    lease->holder->lease_count--;
    endpoint_give(&model->endpoints, lease->holder->endpoint, RESOURCE_LEASES);
    slab_give(&model->lease_slab, lease);
    member->set->lease_count--;
    member->lease_count--;
    member_moved(member);
    return member->lease_count == 0;
}

/* Nobody has had the descriptor, so there is nothing to clear or to put back but what was
 * there before. */
void lease_cancel(struct model *model, struct lease *lease) {
    struct member *member = lease->member;

    if (lease_drop(model, lease) && member->last)
        member_unswept(model, member);
}

void lease_end(struct model *model, struct lease *lease) {
    struct member *member = lease->member;
    struct fdset *set = member->set;

    tell_lease(model, EVENT_CLOSED, lease);
    member->last = lease->holder->connection;
    if (lease->opened_ms < member->oldest_ms)
        member->oldest_ms = lease->opened_ms;
    if (lease_drop(model, lease)) {
        member_queue(model, member,
                     WORK_RESTORE | (member->state == MEMBER_REMOVED ? WORK_CLOSE : 0));
        set_trim(model, set);
    }
    set_rearm(model, set); /* its members at least are still there, to be closed */
}

/* ------------------------------------------------------------------- holds */

static struct hold *find_hold(const struct holder *holder, const struct fdset *set) {
    list_for_each (link, &holder->holds) {
        struct hold *hold = list_object(link, struct hold, in_holder);
        if (hold->set == set)
            return hold;
    }
    return NULL;
}

int hold_begin(struct model *model, struct holder *holder, struct fdset *set,
               struct refusal *refusal) {
    if (find_hold(holder, set))
        return 0;
    if (!endpoint_take(&model->endpoints, holder->endpoint, RESOURCE_HOLDS))
        return refuse_share(holder->endpoint, RESOURCE_HOLDS, refusal);
    struct hold *hold = slab_take(&model->hold_slab);
    hold->set = set;
    hold->holder = holder;
    list_append(&set->holds, &hold->in_set);
    list_append(&holder->holds, &hold->in_holder);
    set->hold_count++;
    set_rearm(model, set);
    return 0;
}

static void hold_drop(struct model *model, struct hold *hold) {
    struct fdset *set = hold->set;

    list_remove(&hold->in_set);
    list_remove(&hold->in_holder);
    endpoint_give(&model->endpoints, hold->holder->endpoint, RESOURCE_HOLDS);
    slab_give(&model->hold_slab, hold);
    set->hold_count--;
    set_rearm(model, set);
    set_trim(model, set);
    set_release(model, set);
}

void hold_end(struct model *model, struct holder *holder, struct fdset *set) {
    struct hold *hold = find_hold(holder, set);
    if (hold)
        hold_drop(model, hold);
}

bool holder_end(struct model *model, struct holder *holder, uint32_t most) {
    for (; most > 0 && !list_empty(&holder->leases); most--) {
        lease_end(model, list_object(holder->leases.next, struct lease, in_holder));
        model->totals.hangups++;
    }
    for (; most > 0 && !list_empty(&holder->holds); most--)
        hold_drop(model, list_object(holder->holds.next, struct hold, in_holder));
    return list_empty(&holder->leases) && list_empty(&holder->holds);
}

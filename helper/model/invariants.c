/* SPDX-License-Identifier: MIT */
/* Invariants, and that no object has leaked: asserted after each request in debug
 * builds. */
#include "model/order.h"

#include <assert.h>

static void check_member(const struct model *model, const struct member *member) {
    uint32_t leases = 0;

    list_for_each (link, &member->leases) {
        const struct lease *lease = list_object(link, struct lease, in_member);
        assert(lease->member == member && model_find_lease(model, lease->id) == lease);
        leases++;
    }
    assert(leases == member->lease_count);
    assert(model_find_member(model, member->id) == member);
    assert(member->fd >= 0);
    assert(leases == 0 || !member_settling(member));
    assert(leases > 0 || member->state == MEMBER_LISTED || member->work & WORK_CLOSE);
    assert(!member->work || member->working || !list_empty(&member->queue));
}

static uint32_t count_labels(const struct fdset *set) {
    uint32_t labels = !!set->name + !!set->owner;

    list_for_each (link, &set->members)
        labels += !!list_object(link, struct member, in_set)->opaque;
    return labels;
}

static uint32_t check_set(const struct model *model, const struct fdset *set) {
    uint32_t members = 0, leases = 0, holds = 0, closing = 0;

    assert(model_find_set(model, set->id) == set);
    assert(!set->name || model_find_name(model, set->name) == set);
    list_for_each (link, &set->members) {
        const struct member *member = list_object(link, struct member, in_set);
        assert(member->set == set);
        check_member(model, member);
        leases += member->lease_count;
        closing += !!(member->work & WORK_CLOSE);
        members++;
    }
    list_for_each (link, &set->holds)
        holds++;
    order_check(set);
    assert(members == set->member_count && leases == set->lease_count && holds == set->hold_count);
    assert(members + holds > 0 && closing == set->closing_count);
    assert(!deadline_runs(&set->deadline) || set->lifetime != LIFETIME_IDLE || leases + holds == 0);
    return leases;
}

void model_check(const struct model *model) {
    uint32_t sets = 0, members = 0, leases = 0, holds = 0, labels = 0, unswept = 0;
    int64_t last_id = -1;

    list_for_each (link, &model->sets) {
        const struct fdset *set = list_object(link, struct fdset, by_id);
        assert((int64_t)set->id > last_id);
        last_id = set->id;
        leases += check_set(model, set);
        members += set->member_count;
        holds += set->hold_count;
        labels += count_labels(set);
        sets++;
    }
    list_for_each (link, &model->unswept)
        unswept++;
    assert(unswept == model->unswept_count && !unswept == (model->sweep_ms == UINT64_MAX));
    assert(sets == model->set_slab.used);
    assert(members == model->member_count);
    assert(leases == model->lease_slab.used);
    assert(holds == model->hold_slab.used);
    assert(members <= model->member_slab.used);
    /* Members that are offered or being closed may have labels too. */
    if (members == model->member_slab.used)
        assert(labels == model->short_label_slab.used + model->long_label_slab.used);
}

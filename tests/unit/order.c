/* SPDX-License-Identifier: MIT */
/* helper/model: a large set answers an open as a small one would, in which each member is
 * looked at. By random histories, in which each answer is asked for both ways. */
#include "model/order.h"
#include "model/lease.h"
#include "model/lifetime.h"
#include "oracle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define MEMBERS 64
#define HOLDERS 3
#define STEPS   20000

static struct model model;
static struct refusal refusal;
static struct holder holders[HOLDERS];
static const struct owner owner = {.manager = 7};

static int below(int limit) {
    return rand() % limit;
}

static int begin(void **state) {
    static const struct endpoint_plan plan = {.name = "vmm"};
    struct limits limits = LIMITS_DEFAULT;

    srand(20121123);
    if (model_init(&model, &limits, 16) < 0 ||
        endpoints_init(&model.endpoints, &limits, &plan, 1, false) < 0)
        return -1;
    for (int i = 0; i < HOLDERS; i++)
        holder_init(&holders[i], model.endpoints.all, (uint64_t)i + 1, 100);
    return oracle_remember(state);
}

static int end(void **state) {
    model_check(&model);
    model_destroy(&model);
    return oracle_compare(state);
}

/* ------------------------------------------------------------------ what happens */

static int any_flags(void) {
    static const int sync[] = {0, 0, 0, O_DSYNC, O_SYNC};

    return below(3) | sync[below(5)] | (below(3) ? 0 : O_DIRECT);
}

static int any_status(void) {
    return (below(3) ? 0 : O_DIRECT) | (below(3) ? 0 : O_APPEND) | (below(3) ? 0 : O_NONBLOCK) |
           (below(5) ? 0 : O_NOATIME);
}

static void add(void) {
    static int fd = 1000;
    struct member *member = member_offer(&model, fd++);
    struct new_members addition = {
        .has_set = true, .set = 1, .mixed = true, .members = &member, .member_count = 1};

    member->flags = any_flags() | any_status();
    member->status = member->flags & STATUS_SETTABLE;
    member->type = below(4) ? S_IFREG : S_IFIFO;
    member->sharing = (uint32_t)below(3);
    member->serves_read_only = below(3) == 0;
    assert_int_equal(model_add(&model, &addition, 1, &owner, &refusal), 0);
}

static struct member *any_member(const struct fdset *set) {
    struct list *link = set->members.next;

    for (int i = below((int)set->member_count); i > 0; i--)
        link = link->next;
    return list_object(link, struct member, in_set);
}

/* As the service does, but for a part of it. */
static void settle_some(void) {
    for (int i = below(8); i > 0 && !list_empty(&model.unsettled); i--) {
        struct member *member = list_object(model.unsettled.next, struct member, queue);
        list_remove(&member->queue);
        if (member->work & WORK_RESTORE)
            member->status = member->flags & STATUS_SETTABLE;
        member_settled(&model, member, member->work);
    }
}

/* The same question, with the order and without. */
static struct match ask(struct fdset *set, const struct holder *holder, int flags) {
    static struct refusal other;
    struct match match, slow;
    int error = match_member(set, holder, flags, &match, &refusal);

    bool ordered = set->ordered;
    set->ordered = false;
    assert_int_equal(match_member(set, holder, flags, &slow, &other), error);
    set->ordered = ordered;
    if (error < 0) {
        assert_int_equal(refusal.code, other.code);
        if (refusal.code != REFUSAL_BUSY)
            assert_string_equal(refusal.text, other.text);
        return match;
    }
    assert_ptr_equal(match.member, slow.member);
    assert_int_equal(match.set_flags, slow.set_flags);
    assert_int_equal(match.settling, slow.settling);
    return match;
}

static void open_one(struct fdset *set) {
    struct holder *holder = &holders[below(HOLDERS)];
    int flags = any_flags() | any_status();
    struct match match = ask(set, holder, flags);

    if (!match.member || match.settling || !match_serves(match.member, holder, flags))
        return;
    struct lease *lease = lease_open(&model, holder, match.member, flags, &refusal);
    if (!lease)
        return;
    if (match.set_flags)
        member_flags_set(match.member, match_status(match.member, flags));
    if (below(10) == 0)
        lease_cancel(&model, lease);
    else
        lease_confirm(&model, lease);
}

static void close_one(void) {
    struct holder *holder = &holders[below(HOLDERS)];

    if (!list_empty(&holder->leases))
        lease_end(&model, list_object(holder->leases.next, struct lease, in_holder));
}

static void test_answers_are_those_of_a_small_set(void **state) {
    for (int i = 0; i < MEMBERS; i++)
        add();
    for (int step = 0; step < STEPS; step++) {
        struct fdset *set = model_find_set(&model, 1);
        struct member *member = any_member(set);
        int what = below(100);
        if (what < 45)
            open_one(set);
        else if (what < 70)
            close_one();
        else if (what < 90)
            settle_some();
        else if (what < 93 && member->lease_count > 0)
            member_flags_seen(&model, member, any_status());
        else if (what < 96 && set->listed_count > MEMBERS / 2)
            model_remove(&model, 1, member->id, NULL, &refusal);
        else if (set->member_count < MEMBERS)
            add();
        assert_true(set->ordered);
        model_check(&model);
    }
    for (int i = 0; i < HOLDERS; i++)
        holder_end(&model, &holders[i], UINT32_MAX);
    model_remove(&model, 1, 0, NULL, &refusal);
    while (!list_empty(&model.unsettled))
        settle_some();
    assert_null(model_find_set(&model, 1));
}

/* Those whose manager has gone go when nobody uses them, and are found without a look at all. */
static void test_unused_members_of_an_orphan_go(void **state) {
    for (int i = 0; i < MEMBERS; i++)
        add();
    struct fdset *set = model_find_set(&model, 1);
    for (int i = 0; i < 30; i++)
        open_one(set);
    uint32_t used = 0;
    list_for_each (link, &set->listed)
        used += list_object(link, struct member, in_listed)->lease_count > 0;
    assert_true(used > 5 && used < MEMBERS);
    assert_int_equal(hold_begin(&model, &holders[0], set, &refusal), 0);
    model_manager_gone(&model, 7);
    assert_int_equal(set->listed_count, MEMBERS);
    hold_end(&model, &holders[0], set);
    assert_int_equal(set->listed_count, used);
    model_check(&model);
    for (int i = 0; i < HOLDERS; i++)
        holder_end(&model, &holders[i], UINT32_MAX);
    assert_int_equal(set->listed_count, 0);
    while (!list_empty(&model.unsettled))
        settle_some();
}

/* Even where each comes after the other, and each has the other's place once. */
static void test_the_way_to_a_member_is_short(void **state) {
    unsigned deepest = 0;

    for (int i = 0; i < 4000; i++)
        add();
    struct fdset *set = model_find_set(&model, 1);
    list_for_each (link, &set->listed) {
        const struct member *wanted = list_object(link, struct member, in_listed);
        const struct member *member = set->order;
        unsigned depth = 0;
        for (; member != wanted; depth++)
            member = member->group < wanted->group ||
                             (member->group == wanted->group && member->id < wanted->id)
                         ? member->after
                         : member->before;
        if (depth > deepest)
            deepest = depth;
    }
    assert_in_range(deepest, 12, 60);
    model_remove(&model, 1, 0, NULL, &refusal);
    while (!list_empty(&model.unsettled))
        settle_some();
}

#define order_test(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        order_test(test_answers_are_those_of_a_small_set),
        order_test(test_unused_members_of_an_orphan_go),
        order_test(test_the_way_to_a_member_is_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

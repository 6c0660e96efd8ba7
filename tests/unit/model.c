/* SPDX-License-Identifier: MIT */
/* helper/model: the model by itself. It makes no system call, so descriptors
 * are made-up numbers here and time is what the test says. */
#include "model/model.h"
#include "model/lease.h"
#include "model/lifetime.h"
#include "oracle.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define MANAGER 7

static struct model model;
static struct refusal refusal;
static struct holder vmm, other;
static const struct owner owner = {.manager = MANAGER};

static int begin(void **state) {
    static const struct endpoint_plan plans[] = {{"vm1"}, {"vm2"}};
    struct limits limits = LIMITS_DEFAULT;
    limits.sets = 4;
    limits.members = 8;
    limits.leases = 6;
    limits.leases_per_vmm = 4;
    if (model_init(&model, &limits, 16) < 0 ||
        endpoints_init(&model.endpoints, &limits, plans, 2, false) < 0)
        return -1;
    holder_init(&vmm, &model.endpoints.all[0], 1, 100);
    holder_init(&other, &model.endpoints.all[1], 2, 200);
    strcpy(other.name, "other");
    return oracle_remember(state);
}

static int end(void **state) {
    model_check(&model);
    model_destroy(&model);
    return oracle_compare(state);
}

/* A member as the service offers it: looked at and marked. */
static struct member *offer(int fd, int flags) {
    struct member *member = member_offer(&model, fd);
    assert_non_null(member);
    member->flags = flags;
    member->status = flags & STATUS_SETTABLE;
    member->inode = 1;
    return member;
}

static int add_all(struct member **members, uint32_t count, int set, enum lifetime lifetime) {
    struct new_members addition = {.has_set = set >= 0,
                                   .set = (uint32_t)set,
                                   .lifetime = lifetime,
                                   .idle_ms = lifetime == LIFETIME_IDLE ? 100 : 0,
                                   .members = members,
                                   .member_count = count};
    int result = model_add(&model, &addition, 1, &owner, &refusal);
    return result < 0 ? result : (int)addition.set;
}

static struct member *add(int set, int flags) {
    static int fd = 1000;
    struct member *member = offer(fd++, flags);
    assert_true(add_all(&member, 1, set, LIFETIME_ANY) >= 0);
    model_check(&model);
    return member;
}

static struct lease *open_as(struct holder *holder, struct member *member) {
    struct lease *lease = lease_open(&model, holder, member, member->flags, &refusal);
    if (lease)
        lease_confirm(&model, lease);
    model_check(&model);
    return lease;
}

/* Does as the service would what is queued. Returns how many members had work. */
static int settle(void) {
    int count = 0;
    while (!list_empty(&model.unsettled)) {
        struct member *member = list_object(model.unsettled.next, struct member, queue);
        list_remove(&member->queue);
        member_settled(&model, member, member->work);
        model_check(&model);
        count++;
    }
    return count;
}

/* -------------------------------------------------------------------- adding */

static void test_add_is_all_or_nothing(void **state) {
    struct member *members[] = {offer(10, O_RDWR), offer(11, O_RDWR), offer(12, O_RDWR)};
    members[2]->inode = 2;
    assert_int_equal(add_all(members, 3, 1, LIFETIME_ANY), -EXDEV);
    assert_int_equal(refusal.code, REFUSAL_OTHER_FILE);
    assert_null(model_find_set(&model, 1));
    assert_int_equal(model.member_count, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(members[i]->state, MEMBER_OFFERED);
        member_discard(&model, members[i]);
    }
    assert_int_equal(settle(), 3);
    assert_int_equal(model.member_slab.used, 0);
}

static void test_limits(void **state) {
    for (int set = 0; set < 4; set++)
        add(set, O_RDWR);
    struct member *member = offer(20, O_RDWR);
    assert_int_equal(add_all(&member, 1, 4, LIFETIME_ANY), -ENOSPC);
    assert_int_equal(refusal.code, REFUSAL_LIMIT);
    assert_int_equal(add_all(&member, 1, 3, LIFETIME_ANY), 3);
    for (int i = 0; i < 3; i++)
        add(0, O_RDWR);
    member = offer(21, O_RDWR);
    assert_int_equal(add_all(&member, 1, 0, LIFETIME_ANY), -ENOSPC);
    member_discard(&model, member);
    model_remove(&model, 0, 0, NULL, &refusal);
    settle();
    add(9, O_RDWR);
}

static void test_automatic_ids(void **state) {
    struct member *member = offer(30, O_RDWR);
    int first = add_all(&member, 1, -1, LIFETIME_ANY);
    assert_true(first >= 0);
    model_remove(&model, (uint32_t)first, 0, NULL, &refusal);
    settle();
    member = offer(31, O_RDWR);
    assert_true(add_all(&member, 1, -1, LIFETIME_ANY) > first);
}

/* What a VMM can count up has 64 bits: it would be through with 32 in a day. */
static void test_lease_ids_do_not_wrap(void **state) {
    struct member *first = add(1, O_RDWR);
    struct lease *old = open_as(&vmm, first);
    assert_int_equal(old->id, 1);
    model.last_lease = UINT32_MAX;
    struct lease *next = open_as(&vmm, first), *after = open_as(&vmm, first);
    assert_int_equal(next->id, UINT32_MAX + UINT64_C(1));
    assert_int_equal(after->id, UINT32_MAX + UINT64_C(2));
    assert_ptr_equal(lease_find(&model, &vmm, 1), old);
    assert_ptr_equal(lease_find(&model, &vmm, after->id), after);
    lease_end(&model, old);
    assert_null(lease_find(&model, &vmm, 1));
    assert_null(lease_find(&model, &other, after->id));
}

/* Of what only managers count up, no more are given after the last. */
static void test_member_ids_are_not_given_twice(void **state) {
    struct member *first = add(1, O_RDWR);
    assert_int_equal(first->id, 1);
    model.next_member = UINT32_MAX - 1;
    struct member *two[] = {offer(50, O_RDWR), offer(51, O_RDWR)};
    assert_int_equal(add_all(two, 2, 1, LIFETIME_ANY), -ENOSPC);
    assert_int_equal(refusal.code, REFUSAL_LIMIT);
    assert_int_equal(add_all(two, 1, 1, LIFETIME_ANY), 1);
    assert_int_equal(two[0]->id, UINT32_MAX - 1);
    assert_int_equal(add_all(two + 1, 1, 1, LIFETIME_ANY), -ENOSPC);
    member_discard(&model, two[1]);
    settle();
}

static void test_label(void **state) {
    char text[FDSET_MAX_OPAQUE_BYTES + 1];
    struct member *member = offer(40, O_RDWR);
    memset(text, 'x', FDSET_MAX_OPAQUE_BYTES);
    text[FDSET_MAX_OPAQUE_BYTES] = '\0';
    member_label(&model, member, text);
    assert_string_equal(member->opaque, text);
    member_label(&model, member, "");
    assert_string_equal(member->opaque, "");
    member_label(&model, member, NULL);
    assert_null(member->opaque);
    member_discard(&model, member);
    settle();
    assert_int_equal(model.long_label_slab.used + model.short_label_slab.used, 0);
}

/* ------------------------------------------------------------------ matching */

static int match(struct holder *holder, uint32_t set, int flags, struct match *found) {
    *found = (struct match){0};
    return match_member(model_find_set(&model, set), holder, flags, found, &refusal);
}

static void test_match(void **state) {
    struct match found;
    struct member *direct = add(1, O_RDWR | O_DIRECT), *plain = add(1, O_RDWR);
    struct member *sync = add(1, O_RDWR | O_SYNC);

    assert_int_equal(match(&vmm, 1, O_RDONLY, &found), -EACCES);
    assert_int_equal(refusal.code, REFUSAL_MODE);
    assert_int_equal(match(&vmm, 1, O_RDWR | O_DSYNC, &found), -EINVAL);
    assert_int_equal(refusal.code, REFUSAL_SYNC);
    assert_int_equal(match(&vmm, 1, O_RDWR, &found), 0);
    assert_ptr_equal(found.member, plain);
    assert_false(found.set_flags);
    assert_int_equal(match(&vmm, 1, O_RDWR | O_DIRECT, &found), 0);
    assert_ptr_equal(found.member, direct);
    assert_int_equal(match(&vmm, 1, O_RDWR | O_SYNC | O_APPEND, &found), 0);
    assert_ptr_equal(found.member, sync);
    assert_true(found.set_flags);

    open_as(&vmm, plain);
    assert_int_equal(match(&other, 1, O_RDWR, &found), 0);
    assert_ptr_equal(found.member, direct);
    open_as(&vmm, direct);
    assert_int_equal(match(&other, 1, O_RDWR, &found), -EBUSY);
    assert_int_equal(refusal.code, REFUSAL_BUSY);
}

static void test_settling_member_is_told_of(void **state) {
    struct match found;
    struct member *member = add(1, O_RDWR);
    settle();
    lease_end(&model, open_as(&vmm, member));
    assert_int_equal(match(&vmm, 1, O_RDWR, &found), 0);
    assert_true(found.settling);
    settle();
    assert_int_equal(match(&vmm, 1, O_RDWR, &found), 0);
    assert_false(found.settling);
}

/* Takes from the list of what has changed its only member. */
static struct member *changed(void) {
    if (list_empty(&model.changed))
        return NULL;
    struct list *link = model.changed.next;
    list_remove(link);
    assert_true(list_empty(&model.changed));
    return list_object(link, struct member, changed);
}

/* What an open may wait for is noted, once, and nothing else. */
static void test_changes_are_noted(void **state) {
    struct member *member = add(2, O_RDWR);
    assert_null(changed()); /* nobody waits */
    model.awaited = 1;
    member = add(1, O_RDWR);
    assert_ptr_equal(changed(), member);
    settle(); /* it is looked at */
    struct lease *lease = open_as(&vmm, member);
    assert_null(changed());
    member_flags_seen(&model, member, O_APPEND);
    member_flags_seen(&model, member, O_APPEND | O_DIRECT);
    assert_int_equal(member->status, O_APPEND | O_DIRECT);
    assert_ptr_equal(changed(), member);
    lease_end(&model, lease);
    assert_null(changed());
    settle();
    assert_ptr_equal(changed(), member);
    assert_int_equal(model_remove(&model, 1, 0, NULL, &refusal), 1);
    assert_ptr_equal(changed(), member);
    settle();
    assert_null(changed());
    /* One that has gone is not looked at any more. */
    add(1, O_RDWR);
    assert_int_equal(model_remove(&model, 1, 0, NULL, &refusal), 1);
    settle();
    assert_null(changed());
}

/* -------------------------------------------------------- leases, lifetimes */

static void test_lease_limits(void **state) {
    struct member *member = add(1, O_RDONLY);
    for (int i = 0; i < 4; i++)
        assert_non_null(open_as(&vmm, member));
    assert_null(open_as(&vmm, member));
    assert_int_equal(refusal.code, REFUSAL_LIMIT);
    assert_non_null(open_as(&other, member));
    assert_non_null(open_as(&other, member));
    assert_null(open_as(&other, member));
    assert_int_equal(refusal.code, REFUSAL_LIMIT);
    assert_false(holder_end(&model, &vmm, 1));
    model_check(&model);
    assert_true(holder_end(&model, &vmm, 100));
    assert_non_null(open_as(&other, member));
}

static void test_last_lease_restores(void **state) {
    struct member *member = add(1, O_RDWR);
    settle();
    struct lease *one = open_as(&vmm, member), *two = open_as(&vmm, member);
    lease_end(&model, one);
    assert_true(list_empty(&model.unsettled));
    lease_end(&model, two);
    assert_int_equal(member->work, WORK_RESTORE);
    assert_int_equal(member_state(member), MEMBER_SETTLING);
    assert_int_equal(settle(), 1);
    assert_int_equal(member_state(member), MEMBER_LISTED);
}

static void test_removed_member_closes_with_its_last_lease(void **state) {
    struct member *member = add(1, O_RDWR);
    settle();
    struct lease *lease = open_as(&vmm, member);
    assert_int_equal(model_remove(&model, 1, member->id, NULL, &refusal), 1);
    assert_int_equal(model_remove(&model, 1, 0, NULL, &refusal), 0);
    assert_int_equal(member_state(member), MEMBER_REMOVED);
    assert_true(list_empty(&model.unsettled));
    lease_end(&model, lease);
    assert_int_equal(member->work, WORK_RESTORE | WORK_CLOSE);
    settle();
    assert_null(model_find_set(&model, 1));
    assert_int_equal(model.member_count, 0);
}

static void test_manager_gone(void **state) {
    struct member *used = add(1, O_RDWR), *kept = offer(50, O_RDWR);
    add(1, O_RDONLY);
    assert_int_equal(add_all(&kept, 1, 2, LIFETIME_KEEP), 2);
    struct lease *lease = open_as(&vmm, used);
    model_manager_gone(&model, MANAGER + 1);
    model_manager_gone(&model, MANAGER + (1ull << 32)); /* numbers do not wrap */
    settle();
    assert_int_equal(model_find_set(&model, 1)->member_count, 2);
    model_manager_gone(&model, MANAGER);
    settle();
    assert_int_equal(model_find_set(&model, 1)->member_count, 1);
    assert_true(model_find_set(&model, 1)->orphaned);
    lease_end(&model, lease);
    settle();
    assert_null(model_find_set(&model, 1));
    assert_non_null(model_find_set(&model, 2));
}

static void test_idle_time(void **state) {
    struct member *member = offer(60, O_RDWR);
    model.now_ms = 1000;
    assert_int_equal(add_all(&member, 1, 1, LIFETIME_IDLE), 1);
    settle();
    model.now_ms = 1099;
    model_expire(&model);
    struct lease *lease = open_as(&vmm, member);
    assert_non_null(lease);
    model.now_ms = 5000;
    model_expire(&model);
    settle();
    assert_non_null(model_find_set(&model, 1));
    lease_end(&model, lease);
    settle();
    model.now_ms = 5099;
    model_expire(&model);
    assert_int_equal(member_state(member), MEMBER_LISTED);
    model.now_ms = 5100;
    model_expire(&model);
    settle();
    assert_null(model_find_set(&model, 1));
}

#define model_test(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        model_test(test_add_is_all_or_nothing),
        model_test(test_limits),
        model_test(test_automatic_ids),
        model_test(test_lease_ids_do_not_wrap),
        model_test(test_member_ids_are_not_given_twice),
        model_test(test_label),
        model_test(test_match),
        model_test(test_settling_member_is_told_of),
        model_test(test_changes_are_noted),
        model_test(test_lease_limits),
        model_test(test_last_lease_restores),
        model_test(test_removed_member_closes_with_its_last_lease),
        model_test(test_manager_gone),
        model_test(test_idle_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

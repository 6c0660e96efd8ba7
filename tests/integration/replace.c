/* SPDX-License-Identifier: MIT */
/* Replace, behind a name that stays, is one step for whoever opens it. */
#include "child.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>

static int disk;

static struct helper *start(void) {
    struct helper *helper = helper_start(NULL);
    disk = file_open("disk", O_RDWR);
    return helper;
}

static int added(struct helper *helper, int set, const char *name) {
    struct new_member member = {.fd = disk};

    return client_add_new(helper->manager, (struct new_set){set, LIFETIME(KEEP), &member, 1, name});
}

static int replaced(struct helper *helper, const char *name, int fd) {
    struct new_member member = {.fd = fd};
    return client_add_new(helper->manager, (struct new_set){SET_NEW, LIFETIME(KEEP), &member, 1,
                                                            name, .replace = true});
}

static void test_leases_of_replaced_members_stay(void **state) {
    struct helper *helper = start();
    int newer = file_open("disk", O_RDWR);
    int set = added(helper, SET_NEW, "disk0");
    struct opened old = client_open(helper->vmm, "/dev/fdset/disk0", O_RDWR);
    assert_int_equal(replaced(helper, "disk0", newer), set);

    SetInfo *info = client_query(helper->manager, set, NULL)->sets[0];
    assert_int_equal(info->n_members, 2);
    assert_int_equal(info->members[0]->member, old.member);
    assert_int_equal(info->members[0]->state, MEMBER(REMOVED));
    assert_int_equal(info->members[0]->n_leases, 1);
    assert_int_equal(info->members[0]->leases[0]->lease, old.lease);
    assert_int_equal(info->members[1]->state, MEMBER(LISTED));
    assert_serves(old.fd, disk, O_RDWR);
    assert_serves(client_open(helper->vmm, "/dev/fdset/disk0", O_RDWR).fd, newer, O_RDWR);

    client_close(helper->vmm, &old);
    client_barrier(helper->vmm);
    client_wait_settled(helper->manager);
    assert_int_equal(client_query(helper->manager, set, NULL)->sets[0]->n_members, 1);
    assert_held(helper, newer, 1);
}

static void test_replace_by_any_way(void **state) {
    struct helper *helper = start();
    int other = file_open("other", O_RDWR);
    struct new_member members[] = {{.fd = other}, {.fd = file_open("other", O_RDONLY)}};
    struct new_set set = {5, LIFETIME(KEEP), members, 2, .replace = true};

    client_add_new(helper->manager, set); /* what is not there need not be */
    client_add_one(helper->manager, 5, other);
    set.name = "disk0"; /* by id, and a name for it */
    client_add_new(helper->manager, set);
    client_wait_settled(helper->manager);
    assert_int_equal(client_find_set(helper->manager, 5)->n_members, 2);
    /* The new ones are of another file: it is not the set's for ever. */
    assert_int_equal(replaced(helper, "disk0", disk), 5);
    client_wait_settled(helper->manager);
    assert_serves(client_open(helper->vmm, "/dev/fdset/disk0", O_RDWR).fd, disk, O_RDWR);
    assert_held(helper, other, 0);
}

static void test_a_refused_replace_changes_nothing(void **state) {
    struct helper *helper = start();
    int nothing = harness_keep(open(file_path("disk"), O_PATH | O_CLOEXEC));
    struct new_member bad[] = {{.fd = file_open("disk", O_RDWR)}, {.fd = nothing}};
    struct new_member mixed[] = {{.fd = disk}, {.fd = file_open("other", O_RDWR)}};
    added(helper, 1, "disk0");
    uint32_t member = client_find_set(helper->manager, 1)->members[0]->member;
    client_add_refused(helper->manager, (struct new_set){1, 0, bad, 2, .replace = true},
                       CODE(BAD_FD), EBADF);
    client_add_refused(helper->manager, (struct new_set){1, 0, mixed, 2, .replace = true},
                       CODE(OTHER_FILE), EXDEV);
    client_add_refused(helper->manager,
                       (struct new_set){1, LIFETIME(CONNECTION), mixed, 1, .replace = true},
                       CODE(LIFETIME), EINVAL);
    client_add_refused(helper->manager, (struct new_set){1, 0, mixed, 1, "x", .replace = true},
                       CODE(NAME), EEXIST);
    client_add_refused(helper->manager, (struct new_set){1, 0, NULL, 0, .replace = true},
                       CODE(ARGUMENT), EINVAL);
    assert_int_equal(client_find_set(helper->manager, 1)->n_members, 1);
    assert_int_equal(client_open(helper->vmm, "/dev/fdset/disk0", O_RDWR).member, member);
}

/* Without room for both, old and new, there is no step from the one to the other. */
static void test_replace_at_the_limit(void **state) {
    struct helper *helper = helper_start((const char *[]){"--limit", "members=2", NULL});
    disk = file_open("disk", O_RDWR);
    struct new_member members[] = {{.fd = disk}, {.fd = disk}};
    client_add_new(helper->manager, (struct new_set){1, LIFETIME(KEEP), members, 2, "disk0"});
    client_add_refused(helper->manager, (struct new_set){1, 0, members, 1, .replace = true},
                       CODE(LIMIT), ENOSPC);
    assert_int_equal(client_find_set(helper->manager, 1)->n_members, 2);
    assert_serves(client_open(helper->vmm, "/dev/fdset/disk0", O_RDWR).fd, disk, O_RDWR);
}

#define REPLACES 1000

/* Which file serves which member: the first member's id and two inodes. */
struct expected {
    uint32_t first;
    ino_t inodes[2];
};

static void opens_all_the_time(struct child_side *side) {
    struct expected *expected = side->data;
    uint32_t last = 0;
    struct stat file;

    parent_tell(side);
    while (last < expected->first + REPLACES) {
        struct opened opened = client_open(side->client, "/dev/fdset/disk0", O_RDWR);
        if (opened.fd < 0)
            fail_msg("in the middle of a replace: %s", opened.text);
        if (opened.member < last || opened.member > expected->first + REPLACES)
            fail_msg("member %" PRIu64 " after %u", opened.member, last);
        last = opened.member;
        assert_int_equal(fstat(opened.fd, &file), 0);
        assert_int_equal(file.st_ino, expected->inodes[(last - expected->first) % 2]);
        client_close(side->client, &opened);
    }
}

/* One process opens a name again and again while another replaces what is
 * behind it a thousand times, with one file and another in turn: there is never
 * nothing, and never the one after the other. */
static void test_no_open_sees_a_replace(void **state) {
    struct helper *helper = start();
    int files[2] = {disk, file_open("other", O_RDWR)};
    struct expected expected;
    for (int i = 0; i < 2; i++) {
        struct stat file;
        assert_int_equal(fstat(files[i], &file), 0);
        expected.inodes[i] = file.st_ino;
    }
    int set = added(helper, SET_NEW, "disk0");
    expected.first = client_find_set(helper->manager, set)->members[0]->member;
    struct child child =
        child_start(helper, ROLE(VMM), "opens all the time", opens_all_the_time, &expected);
    child_wait(&child);
    for (int i = 1; i <= REPLACES; i++)
        assert_int_equal(replaced(helper, "disk0", files[i % 2]), set);
    child_join(&child);
    assert_int_equal(client_totals(helper->manager).denied, 0);
    client_wait_idle(helper->manager);
    assert_held(helper, files[1], 0);
    assert_held(helper, files[0], 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_leases_of_replaced_members_stay),
        helper_test(test_replace_by_any_way),
        helper_test(test_a_refused_replace_changes_nothing),
        helper_test(test_replace_at_the_limit),
        helper_test(test_no_open_sees_a_replace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Query: everything that is there, each thing once, over as many pages as it takes. */
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_nothing_there(void **state) {
    struct helper *helper = helper_start(NULL);
    QueryReply *page = client_query(helper->manager, SET_ALL, NULL);
    assert_int_equal(page->n_sets, 0);
    assert_null(page->next);
    assert_int_equal(page->totals->connections, 2);
    assert_int_equal(page->totals->opens, 0);
}

static void test_all_fields(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDWR | O_APPEND);
    struct stat file;
    fstat(disk, &file);
    struct new_member member = {disk, "base:rw", SHARING(SHARED), true, true, true};
    client_add_set(helper->manager, 5, LIFETIME(KEEP), &member, 1);
    struct client *vmm = helper_connect(helper, ROLE(VMM), "vm5");
    struct opened opened = client_open_set(vmm, 5, O_RDWR | O_NONBLOCK);

    QueryReply *page = client_query(helper->manager, SET_ALL, NULL);
    assert_int_equal(page->n_sets, 1);
    assert_null(page->next);
    assert_int_equal(page->sets[0]->set, 5);
    assert_int_equal(page->sets[0]->lifetime, LIFETIME(KEEP));
    assert_false(page->sets[0]->orphaned);
    assert_int_equal(page->sets[0]->n_members, 1);
    MemberInfo *info = page->sets[0]->members[0];
    assert_int_equal(info->member, opened.member);
    assert_string_equal(info->opaque, "base:rw");
    assert_int_equal(info->state, MEMBER(LISTED));
    assert_int_equal(info->flags & (O_ACCMODE | O_APPEND | O_NONBLOCK), O_RDWR | O_APPEND);
    assert_int_equal(info->device, file.st_dev);
    assert_int_equal(info->inode, file.st_ino);
    assert_int_equal(info->sharing, SHARING(SHARED));
    assert_true(info->serves_read_only);
    assert_true(info->keep_content);
    assert_true(info->keep_locks);
    assert_int_equal(info->lease_count, 1);
    assert_int_equal(info->n_leases, 1);
    assert_int_equal(info->leases[0]->lease, opened.lease);
    assert_int_equal(info->leases[0]->flags, O_RDWR | O_NONBLOCK);
    assert_int_equal(info->leases[0]->pid, getpid());
    assert_string_equal(info->leases[0]->name, "vm5");
    assert_int_equal(page->totals->connections, 3);
    assert_int_equal(page->totals->leases, 1);
    assert_int_equal(page->totals->opens, 1);
}

/* Though nothing happens but that it is asked for. */
static void test_time_passes(void **state) {
    struct helper *helper = helper_start(NULL);
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    client_open_set(helper->vmm, 1, O_RDWR);
    wait_until(client_query(helper->manager, 1, NULL)->sets[0]->members[0]->leases[0]->age_ms > 20);
}

static void test_order(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDONLY), sets[] = {9, 2, 2147483647, 0, 9, 2, 9};
    for (int i = 0; i < 7; i++)
        client_add_one(helper->manager, sets[i], disk);
    QueryReply *page = client_query(helper->manager, SET_ALL, NULL);
    int order[] = {0, 2, 9, 2147483647};
    size_t members[] = {1, 2, 3, 1};
    assert_int_equal(page->n_sets, 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(page->sets[i]->set, order[i]);
        assert_int_equal(page->sets[i]->n_members, members[i]);
        for (size_t j = 1; j < members[i]; j++)
            assert_true(page->sets[i]->members[j]->member > page->sets[i]->members[j - 1]->member);
    }
}

static void test_one_set(void **state) {
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDONLY);
    for (int set = 1; set <= 3; set++)
        client_add_one(helper->manager, set, disk);
    QueryReply *page = client_query(helper->manager, 2, NULL);
    assert_int_equal(page->n_sets, 1);
    assert_int_equal(page->sets[0]->set, 2);
    assert_int_equal(page->totals->sets, 3);

    Fdset__V1__Query query = FDSET__V1__QUERY__INIT;
    Request request = FDSET__V1__REQUEST__INIT;
    int absent[] = {4, -1};
    query.which_case = FDSET__V1__QUERY__WHICH_SET;
    request.body_case = FDSET__V1__REQUEST__BODY_QUERY;
    request.query = &query;
    for (int i = 0; i < 2; i++) {
        query.set = absent[i];
        assert_refused(client_ask(helper->manager, &request),
                       query.set < 0 ? CODE(ARGUMENT) : CODE(NO_SET),
                       query.set < 0 ? EINVAL : ENOENT);
    }
}

/* Goes through all pages. Counts how often each member and lease is listed, and
 * checks that no page is empty and that all of them agree. */
struct tally {
    size_t pages;
    unsigned char *members, *leases; /* by id */
};

static void take_page(struct tally *tally, const QueryReply *page) {
    tally->pages++;
    if (page->next)
        assert_true(page->n_sets > 0);
    for (size_t i = 0; i < page->n_sets; i++) {
        const SetInfo *set = page->sets[i];
        for (size_t j = 0; j < set->n_members; j++) {
            const MemberInfo *member = set->members[j];
            /* Only the first of a page may go on with what the page before began. */
            if (tally->members[member->member] == 0 || i > 0 || j > 0)
                tally->members[member->member]++;
            for (size_t k = 0; k < member->n_leases; k++)
                tally->leases[member->leases[k]->lease]++;
        }
    }
}

static size_t count_pages(struct client *client, int set, size_t members, size_t leases) {
    struct tally tally = {.members = test_calloc(members + 1, 1),
                          .leases = test_calloc(leases + 1, 1)};
    Cursor after = FDSET__V1__CURSOR__INIT;
    for (QueryReply *page = client_query(client, set, NULL);;
         page = client_query(client, set, &after)) {
        take_page(&tally, page);
        if (!page->next)
            break;
        after = *page->next;
    }
    for (size_t i = 1; i <= members; i++)
        assert_int_equal(tally.members[i], 1);
    for (size_t i = 1; i <= leases; i++)
        assert_int_equal(tally.leases[i], 1);
    test_free(tally.members);
    test_free(tally.leases);
    return tally.pages;
}

static void add_many(struct helper *helper, int sets, int members_each) {
    static struct new_member members[FDSET_MAX_DESCRIPTORS];
    int disk = file_open("disk", O_RDONLY);
    for (int i = 0; i < members_each; i++)
        members[i] = (struct new_member){.fd = disk, .opaque = "a label of some length"};
    for (int set = 0; set < sets; set++)
        client_add_set(helper->manager, set, LIFETIME(KEEP), members, (size_t)members_each);
}

static void test_thousands_of_members(void **state) {
    struct helper *helper = helper_start(NULL);
    add_many(helper, 20, 200);
    assert_true(count_pages(helper->manager, SET_ALL, 4000, 0) > 10);
    /* Only one set of them. */
    assert_int_equal(client_query(helper->manager, 7, NULL)->sets[0]->set, 7);
}

static void test_many_sets_of_one(void **state) {
    struct helper *helper = helper_start(NULL);
    add_many(helper, 1000, 1);
    assert_true(count_pages(helper->manager, SET_ALL, 1000, 0) > 1);
}

/* One member's leases take several pages by themselves. */
static void test_many_leases(void **state) {
    static struct wanted wanted[250];
    static struct opened results[250];
    struct helper *helper = helper_start(NULL);
    add_many(helper, 3, 1);
    for (int i = 0; i < 250; i++)
        wanted[i] = (struct wanted){"/dev/fdset/1", O_RDONLY};
    for (int round = 0; round < 8; round++) {
        client_open_many(helper->vmm, wanted, 250, results);
        for (int i = 0; i < 250; i++)
            harness_close(results[i].fd);
    }
    assert_true(count_pages(helper->manager, SET_ALL, 3, 2000) > 3);
    QueryReply *page = client_query(helper->manager, 1, NULL);
    assert_int_equal(page->sets[0]->members[0]->lease_count, 2000);
    assert_true(page->sets[0]->members[0]->n_leases < 2000);
}

/* Labels of the greatest length, so that few members fill a page. */
static void test_long_labels(void **state) {
    char label[256];
    struct helper *helper = helper_start(NULL);
    int disk = file_open("disk", O_RDONLY);
    struct new_member members[60];
    memset(label, 'l', 255);
    label[255] = '\0';
    for (int i = 0; i < 60; i++)
        members[i] = (struct new_member){.fd = disk, .opaque = label};
    for (int round = 0; round < 5; round++)
        client_add_set(helper->manager, 1, 0, members, 60);
    assert_true(count_pages(helper->manager, 1, 300, 0) >= 5);
}

/* A place in the list stays good when what stood there has gone. */
static void test_cursor_of_what_has_gone(void **state) {
    struct helper *helper = helper_start(NULL);
    add_many(helper, 20, 100);
    QueryReply *page = client_query(helper->manager, SET_ALL, NULL);
    assert_non_null(page->next);
    Cursor after = *page->next;
    client_remove(helper->manager, after.set, 0);
    page = client_query(helper->manager, SET_ALL, &after);
    assert_int_equal(page->sets[0]->set, after.set + 1);

    /* A place beyond the one set that is asked for. */
    Query query = FDSET__V1__QUERY__INIT;
    query.which_case = FDSET__V1__QUERY__WHICH_SET;
    query.set = after.set - 1;
    query.after = &after;
    assert_int_equal(client_query_with(helper->manager, &query)->n_sets, 0);

    Cursor far = FDSET__V1__CURSOR__INIT;
    far.set = 2147483647;
    far.member = UINT32_MAX;
    far.lease = UINT32_MAX;
    page = client_query(helper->manager, SET_ALL, &far);
    assert_int_equal(page->n_sets, 0);
    assert_null(page->next);
}

static void test_observer_sees_the_same(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *observer = helper_connect(helper, ROLE(OBSERVER), "watching");
    client_add_one(helper->manager, 3, file_open("disk", O_RDONLY));
    QueryReply *page = client_query(observer, SET_ALL, NULL);
    assert_int_equal(page->n_sets, 1);
    assert_int_equal(page->sets[0]->set, 3);
}

/* What a filter leaves out takes time too, so a page can be empty. */
static void test_what_is_left_out_comes_in_pages_too(void **state) {
    struct helper *helper = helper_start((const char *[]){"--limit", "members=1500", NULL});
    struct new_member members[240];
    Query query = FDSET__V1__QUERY__INIT;
    int disk = file_open("disk", O_RDWR), found = 0, pages = 0;
    uint32_t last = 0;

    for (int i = 0; i < 240; i++)
        members[i] = (struct new_member){.fd = disk, .opaque = "common"};
    for (int i = 0; i < 5; i++)
        client_add_set(helper->manager, 1, LIFETIME(KEEP), members, 240);
    members[0].opaque = "rare";
    client_add_set(helper->manager, 1, LIFETIME(KEEP), members, 1);
    query.label_case = FDSET__V1__QUERY__LABEL_OPAQUE;
    query.opaque = (char *)"rare";
    for (Cursor after; ++pages < 100; query.after = &after) {
        const QueryReply *page = client_query_with(helper->manager, &query);
        for (size_t i = 0; i < page->n_sets; i++) {
            assert_int_equal(page->sets[i]->n_members, 1);
            assert_string_equal(page->sets[i]->members[0]->opaque, "rare");
            found++;
        }
        if (!page->next)
            break;
        assert_true(page->next->set > 1 || page->next->member > last);
        last = page->next->member;
        after = *page->next;
    }
    assert_int_equal(found, 1);
    assert_in_range(pages, 2, 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_nothing_there),
        helper_test(test_all_fields),
        helper_test(test_time_passes),
        helper_test(test_order),
        helper_test(test_one_set),
        helper_test(test_thousands_of_members),
        helper_test(test_many_sets_of_one),
        helper_test(test_many_leases),
        helper_test(test_long_labels),
        helper_test(test_cursor_of_what_has_gone),
        helper_test(test_observer_sees_the_same),
        helper_test(test_what_is_left_out_comes_in_pages_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

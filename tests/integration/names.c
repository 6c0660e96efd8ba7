/* SPDX-License-Identifier: MIT */
/* Names: what is one, and how it goes with ids. */
#include "events.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int disk;

static struct helper *start(void) {
    struct helper *helper = helper_start(NULL);
    disk = file_open("disk", O_RDWR);
    return helper;
}

/* The test's disk, by id, name or both. */
static int added(struct helper *helper, int set, const char *name) {
    struct new_member member = {.fd = disk};

    return client_add_new(helper->manager, (struct new_set){set, LIFETIME(KEEP), &member, 1, name});
}

static void add_refused(struct helper *helper, int set, const char *name, int code, int error) {
    struct new_member member = {.fd = disk};

    client_add_refused(helper->manager, (struct new_set){set, LIFETIME(KEEP), &member, 1, name},
                       code, error);
}

static const char *path_of(const char *name) {
    static char path[300];
    snprintf(path, sizeof(path), "/dev/fdset/%s", name);
    return path;
}

static void remove_and_wait(struct helper *helper, int set) {
    client_remove(helper->manager, set, 0);
    wait_until(!client_find_set(helper->manager, set));
}

#define TEN  "abcdefghij"
#define N60  TEN TEN TEN TEN TEN TEN
#define N250 N60 N60 N60 N60 TEN

static void test_names_that_are_none(void **state) {
    static const char *const names[] = {
        "1",      "0",           "007",      "99999999999",  "..",           ".",
        "disk/0", "/disk",       "disk/",    "disk\n",       "disk\t",       "disk\x7f",
        "\x1b[m", "disk\xff",    "\xc2\x9b", "\xe2\x80\xae", "\xe2\x80\xa8", "\xd8\x9c",
        "/",      N250 "abcdef",
    };
    struct helper *helper = start();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        print_message("# name \"%s\"\n", names[i]);
        add_refused(helper, SET_NEW, names[i], CODE(NAME), EINVAL);
        add_refused(helper, 1, names[i], CODE(NAME), EINVAL);
    }
    assert_int_equal(client_totals(helper->manager).sets, 0);
    client_wait_settled(helper->manager);
    assert_held(helper, disk, 0);
}

static void test_names_that_are_some(void **state) {
    static const char *const names[] = {
        "d",
        "D",
        "disk.qcow2",
        "vm1-disk-0_backing.img",
        "9disk",
        "-disk",
        ".disk",
        "...",
        "disk 0",
        " ",
        "a,b=c:d@e+f",
        "$(reboot)",
        "\\x00%n*",
        "d\xc3\xb6sk",
        "do\xcc\x88sk", /* the same to the eye, but not the same bytes */
        "\xf0\x9f\x92\xbe",
        "550e8400-e29b-41d4-a716-446655440000",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "1e5",
        N60 "abc",
        N250 "abcde",
        N250 "ab\xe2\x82\xac",
    };
    struct helper *helper = start();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        int set = added(helper, SET_NEW, names[i]);
        assert_int_equal(set, i);
        assert_string_equal(client_query(helper->manager, set, NULL)->sets[0]->name, names[i]);
    }
    /* Each is itself and no other: large and small letters differ. */
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        Query query = FDSET__V1__QUERY__INIT;
        query.name = (char *)names[i];
        QueryReply *page = client_query_with(helper->manager, &query);
        assert_int_equal(page->n_sets, 1);
        assert_int_equal(page->sets[0]->set, i);
        assert_serves(client_open(helper->vmm, path_of(names[i]), O_RDWR).fd, disk, O_RDWR);
    }
}

static void test_paths_with_names(void **state) {
    static const struct {
        const char *path;
        int code, error;
    } paths[] = {
        {"/dev/fdset/disk0", 0, 0},
        {"/dev/fdset/1", 0, 0},
        {"/dev/fdset/disk", CODE(NO_SET), ENOENT},
        {"/dev/fdset/disk00", CODE(NO_SET), ENOENT},
        {"/dev/fdset/Disk0", CODE(NO_SET), ENOENT},
        {"/dev/fdset/disk0/", CODE(PATH), EINVAL},
        {"/dev/fdset/disk0 ", CODE(NO_SET), ENOENT},
        {"/dev/fdset/1x", CODE(NO_SET), ENOENT},
        {"/dev/fdset/01", CODE(PATH), EINVAL},
        {"/dev/fdset/disk\x1f", CODE(PATH), EINVAL},
        {"/dev/fdset//disk0", CODE(PATH), EINVAL},
        {"/dev/fdset/./disk0", CODE(PATH), EINVAL},
        {"/dev/fdset/../disk0", CODE(PATH), EINVAL},
        {"disk0", CODE(PATH), EINVAL},
        {"/dev/fdset/" N250 "abcde", CODE(NO_SET), ENOENT},
        {"/dev/fdset/" N250 "abcdef", CODE(PATH), EINVAL},
    };
    struct helper *helper = start();
    added(helper, 1, "disk0");
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        print_message("# path \"%s\"\n", paths[i].path);
        struct opened opened = client_open(helper->vmm, paths[i].path, O_RDWR);
        assert_int_equal(opened.code, paths[i].code);
        assert_int_equal(opened.error, paths[i].error);
        if (opened.code == 0)
            assert_serves(opened.fd, disk, O_RDWR);
    }
}

/* ------------------------------------------------------------ names and ids */

static void test_a_name_and_an_id(void **state) {
    struct helper *helper = start();
    int first = added(helper, SET_NEW, "alpha");              /* made under a new id */
    assert_int_equal(added(helper, SET_NEW, "alpha"), first); /* joined by name */
    assert_int_equal(added(helper, first, "alpha"), first);   /* both agree */
    assert_int_equal(added(helper, first, NULL), first);      /* by id alone */
    assert_int_equal(added(helper, 7, NULL), 7);
    assert_int_equal(added(helper, 7, "beta"), 7); /* the set gets its name */
    assert_int_equal(added(helper, 9, "gamma"), 9);
    assert_int_equal(client_find_set(helper->manager, first)->n_members, 4);
    assert_string_equal(client_find_set(helper->manager, 7)->name, "beta");

    /* The name is another's, whether the set is there or not. */
    add_refused(helper, 7, "alpha", CODE(NAME), EEXIST);
    add_refused(helper, 8, "alpha", CODE(NAME), EEXIST);
    /* The set has another name. */
    add_refused(helper, 7, "delta", CODE(NAME), EEXIST);
    assert_null(client_find_set(helper->manager, 8));
    assert_int_equal(client_find_set(helper->manager, 7)->n_members, 2);
    assert_int_equal(client_open(helper->vmm, "/dev/fdset/delta", O_RDWR).code, CODE(NO_SET));

    /* No refusal has changed what there is. */
    assert_serves(client_open(helper->vmm, "/dev/fdset/beta", O_RDWR).fd, disk, O_RDWR);
    assert_int_equal(client_totals(helper->manager).sets, 3);
}

static void test_one_name_twice_in_a_request(void **state) {
    struct helper *helper = start();
    struct new_member member = {.fd = disk};
    struct new_set sets[] = {{SET_NEW, 0, &member, 1, "alpha"}, {3, 0, &member, 1, "alpha"}};
    assert_refused(client_add(helper->manager, sets, 2), CODE(ARGUMENT), EINVAL);
    sets[1].set = SET_NEW;
    assert_refused(client_add(helper->manager, sets, 2), CODE(ARGUMENT), EINVAL);
    assert_int_equal(client_totals(helper->manager).sets, 0);
    /* Once by its name, once by its id. */
    added(helper, 3, "alpha");
    sets[1] = (struct new_set){3, 0, &member, 1};
    assert_refused(client_add(helper->manager, sets, 2), CODE(ARGUMENT), EINVAL);
    assert_int_equal(client_find_set(helper->manager, 3)->n_members, 1);
}

/* A refused request leaves no name behind, not even of its good parts. */
static void test_a_refused_add_names_nothing(void **state) {
    struct helper *helper = start();
    struct new_member good = {.fd = disk}, wrong[] = {{.fd = disk}, {.fd = file_open("b", O_RDWR)}};
    struct new_set sets[] = {{SET_NEW, 0, &good, 1, "alpha"}, {5, 0, wrong, 2, "beta"}};
    added(helper, 4, NULL);
    assert_refused(client_add(helper->manager, sets, 2), CODE(OTHER_FILE), EXDEV);
    sets[0].set = 4;
    assert_refused(client_add(helper->manager, sets, 2), CODE(OTHER_FILE), EXDEV);
    assert_string_equal(client_find_set(helper->manager, 4)->name, "");
    added(helper, 6, "alpha");
    added(helper, 5, "beta");
}

/* A set that is only held up by its leases has its name still; then it is free. */
static void test_how_long_a_name_is_taken(void **state) {
    struct helper *helper = start();
    added(helper, 1, "alpha");
    struct opened opened = client_open(helper->vmm, "/dev/fdset/alpha", O_RDWR);
    client_remove(helper->manager, 1, 0);
    add_refused(helper, 2, "alpha", CODE(NAME), EEXIST);
    assert_int_equal(client_open(helper->vmm, "/dev/fdset/alpha", O_RDWR).code, CODE(EMPTY_SET));
    client_close(helper->vmm, &opened);
    client_wait_idle(helper->manager);
    wait_until(!client_find_set(helper->manager, 1));
    assert_int_equal(client_open(helper->vmm, "/dev/fdset/alpha", O_RDWR).code, CODE(NO_SET));
    added(helper, 2, "alpha");
}

/* Names with one hash (FNV-1a, 32 bits) are told apart, in whatever order they
 * come and go. */
static void test_names_of_one_hash(void **state) {
    static const char *const names[] = {"pxysbrs", "kplhxyk", "nncdhpt"};
    static const int orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                    {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    struct helper *helper = start();
    for (size_t order = 0; order < 6; order++) {
        int sets[3];
        for (int i = 0; i < 3; i++)
            sets[i] = added(helper, SET_NEW, names[i]);
        for (int i = 0; i < 3; i++) {
            remove_and_wait(helper, sets[orders[order][i]]);
            for (int j = 0; j < 3; j++) {
                bool there = j > i;
                struct opened opened =
                    client_open(helper->vmm, path_of(names[orders[order][j]]), O_RDWR);
                assert_int_equal(opened.code, there ? 0 : CODE(NO_SET));
                if (there)
                    client_close(helper->vmm, &opened);
            }
            client_wait_idle(helper->manager);
        }
    }
}

static void test_no_more_names_than_sets(void **state) {
    struct helper *helper = helper_start((const char *[]){"--limit", "sets=4", NULL});
    char name[300];
    disk = file_open("disk", O_RDWR);
    for (int round = 0; round < 3; round++) {
        /* Long ones, which have a store of their own. */
        for (int set = 0; set < 4; set++) {
            snprintf(name, sizeof(name), N250 "-%d%d", round, set);
            added(helper, set, name);
        }
        add_refused(helper, 4, "fifth", CODE(LIMIT), ENOSPC);
        for (int set = 0; set < 4; set++)
            remove_and_wait(helper, set);
    }
}

/* What is told of a set has room for its name: where it is wanted, listed, waited for and
 * refused. */
static void test_long_names_are_told_whole(void **state) {
    static const char longest[] = N250 "ab\xe2\x82\xac";
    static const int kinds[] = {EVENT(DENIED), EVENT(WANTED)};
    struct helper *helper = helper_start(NULL);
    struct subscriber events = subscriber_begin(helper, kinds, 2);
    char path[300], cut[300];
    snprintf(path, sizeof(path), "%s", path_of(longest));
    struct opened opened = client_open(helper->vmm, path, O_RDWR);
    assert_int_equal(opened.code, CODE(NO_SET));
    assert_string_equal(event_expect(&events, EVENT(DENIED))->path, path);
    assert_non_null(strstr(opened.text, longest + 100));
    uint32_t serial = client_begin_open(helper->vmm, path, O_RDWR, WAIT_FOREVER_MS);
    assert_string_equal(event_expect(&events, EVENT(WANTED))->path, path);
    assert_string_equal(client_query(helper->manager, SET_ALL, NULL)->waiting[0]->path, path);
    disk = file_open("disk", O_RDWR);
    added(helper, SET_NEW, longest);
    assert_serves(client_opened(helper->vmm, serial).fd, disk, O_RDWR);

    /* What can be no set's is shown as far as one goes, and that there is more. */
    snprintf(path, sizeof(path), "/dev/fdset/\x1b" N250 "12345");
    assert_int_equal(client_open(helper->vmm, path, O_RDWR).code, CODE(PATH));
    snprintf(cut, sizeof(cut), "/dev/fdset/?" N250 "1...");
    assert_string_equal(event_expect(&events, EVENT(DENIED))->path, cut);
}

/* As many as there may be, all with the longest names, are listed and told of in packets
 * that fit. */
static void test_many_long_names(void **state) {
    struct helper *helper = helper_start(NULL);
    struct subscriber events = subscriber_begin(helper, NULL, ALL_KINDS);
    char path[300];
    for (int i = 0; i < 64; i++) {
        snprintf(path, sizeof(path), "/dev/fdset/" N250 "-%04d", i);
        client_send_patient_open(helper->vmm, path, O_RDWR, WAIT_FOREVER_MS);
    }
    for (int i = 0; i < 64; i++) {
        snprintf(path, sizeof(path), "/dev/fdset/" N250 "-%04d", i);
        assert_string_equal(event_expect(&events, EVENT(WANTED))->path, path);
    }
    Cursor after = FDSET__V1__CURSOR__INIT;
    size_t seen = 0;
    for (bool more = true; more;) {
        QueryReply *page = client_query(helper->manager, SET_ALL, &after);
        seen += page->n_waiting;
        more = page->next;
        if (more)
            after = *page->next;
    }
    assert_int_equal(seen, 64);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_names_that_are_none),
        helper_test(test_names_that_are_some),
        helper_test(test_paths_with_names),
        helper_test(test_a_name_and_an_id),
        helper_test(test_one_name_twice_in_a_request),
        helper_test(test_a_refused_add_names_nothing),
        helper_test(test_how_long_a_name_is_taken),
        helper_test(test_names_of_one_hash),
        helper_test(test_no_more_names_than_sets),
        helper_test(test_long_names_are_told_whole),
        helper_test(test_many_long_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

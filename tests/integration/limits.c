/* SPDX-License-Identifier: MIT */
/* Every limit reached for real: an error for the one that did, everyone else served. */
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LIMIT(text) ((const char *[]){"--limit", text, NULL})

static Reply *try_add(struct client *manager, int set, int fd, size_t count) {
    static struct new_member members[FDSET_MAX_DESCRIPTORS];
    struct new_set new_set = {set, LIFETIME(UNSPECIFIED), members, count};
    for (size_t i = 0; i < count; i++)
        members[i] = (struct new_member){.fd = fd};
    return client_add(manager, &new_set, 1);
}

static void expect_limit(const struct opened *opened) {
    assert_int_equal(opened->code, CODE(LIMIT));
    assert_int_equal(opened->error, ENFILE);
}

static void test_sets(void **state) {
    struct helper *helper = helper_start(LIMIT("sets=3"));
    int disk = file_open("disk", O_RDWR);
    for (int set = 1; set <= 3; set++)
        client_add_one(helper->manager, set, disk);
    assert_refused(try_add(helper->manager, 4, disk, 1), CODE(LIMIT), ENOSPC);
    assert_refused(try_add(helper->manager, SET_NEW, disk, 1), CODE(LIMIT), ENOSPC);
    client_add_one(helper->manager, 2, disk);
    client_remove(helper->manager, 1, 0);
    client_wait_settled(helper->manager);
    client_add_one(helper->manager, 4, disk);
    assert_serves(client_open_set(helper->vmm, 4, O_RDWR).fd, disk, O_RDWR);
}

static void test_members(void **state) {
    struct helper *helper = helper_start(LIMIT("members=4"));
    int disk = file_open("disk", O_RDWR);
    assert_refused(try_add(helper->manager, 1, disk, 5), CODE(LIMIT), ENOSPC);
    assert_int_equal(client_totals(helper->manager).members, 0);
    assert_int_equal(try_add(helper->manager, 1, disk, 4)->body_case, REPLY(ADDED));
    for (int round = 0; round < 3; round++)
        assert_refused(try_add(helper->manager, 2, disk, 1), CODE(LIMIT), ENOSPC);

    /* A removed member that is leased still counts. */
    struct opened opened = client_open_set(helper->vmm, 1, O_RDWR);
    client_remove(helper->manager, 1, opened.member);
    assert_refused(try_add(helper->manager, 2, disk, 1), CODE(LIMIT), ENOSPC);
    client_close(helper->vmm, &opened);
    client_wait_idle(helper->manager);
    client_add_one(helper->manager, 2, disk);
    assert_held(helper, disk, 4);
}

/* So many at once that most of it must be turned away, again and again. */
static void test_full_packets_at_the_limit(void **state) {
    struct helper *helper = helper_start(LIMIT("members=10"));
    int disk = file_open("disk", O_RDWR);
    for (int round = 0; round < 50; round++) {
        assert_refused(try_add(helper->manager, 1, disk, FDSET_MAX_DESCRIPTORS), CODE(LIMIT),
                       ENOSPC);
        /* A refusal does not wait for ever for closes that a tracer slows down. */
        client_wait_settled(helper->manager);
    }
    assert_held(helper, disk, 0);
    assert_int_equal(try_add(helper->manager, 1, disk, 10)->body_case, REPLY(ADDED));
}

static void test_leases(void **state) {
    struct helper *helper = helper_start(LIMIT("leases=3"));
    struct client *other = helper_connect(helper, ROLE(VMM), "other vm");
    struct new_member member = {.fd = file_open("disk", O_RDWR), .sharing = SHARING(SHARED)};
    client_add_set(helper->manager, 1, 0, &member, 1);
    struct opened mine = client_open_set(helper->vmm, 1, O_RDWR);
    struct opened theirs[3];
    for (int i = 0; i < 3; i++)
        theirs[i] = client_open_set(other, 1, O_RDWR);
    assert_int_equal(theirs[1].code, 0);
    expect_limit(&theirs[2]);
    struct opened more = client_open_set(helper->vmm, 1, O_RDWR);
    expect_limit(&more);
    client_close(helper->vmm, &mine);
    assert_int_equal(client_open_set(helper->vmm, 1, O_RDWR).code, 0);
}

static void test_leases_per_vmm(void **state) {
    struct helper *helper = helper_start(LIMIT("leases-per-vmm=2"));
    struct client *other = helper_connect(helper, ROLE(VMM), "other vm");
    struct new_member member = {.fd = file_open("disk", O_RDWR), .sharing = SHARING(SHARED)};
    struct wanted wanted[4];
    struct opened results[4];
    client_add_set(helper->manager, 1, 0, &member, 1);
    for (int i = 0; i < 4; i++)
        wanted[i] = (struct wanted){"/dev/fdset/1", O_RDWR};
    client_open_many(helper->vmm, wanted, 4, results);
    assert_int_equal(results[1].code, 0);
    expect_limit(&results[2]);
    expect_limit(&results[3]);
    client_open_many(other, wanted, 2, results + 2);
    assert_int_equal(results[2].code, 0);
    assert_int_equal(results[3].code, 0);
    client_close(helper->vmm, &results[0]);
    assert_int_equal(client_open_set(helper->vmm, 1, O_RDWR).code, 0);
}

static void test_connections(void **state) {
    struct helper *helper = helper_start(LIMIT("connections=5"));
    struct client *clients[3];
    int roles[] = {ROLE(VMM), ROLE(MANAGER), ROLE(OBSERVER)};
    for (int i = 0; i < 3; i++)
        clients[i] = helper_connect(helper, roles[i], "one of five");
    for (int i = 0; i < 3; i++) {
        struct client *sixth = helper_connect_silent(helper, roles[i]);
        assert_refused(client_receive(sixth), CODE(LIMIT), EMFILE);
        assert_hung_up(sixth);
    }
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    assert_int_equal(client_open_set(clients[0], 1, O_RDWR).code, 0);

    client_hang_up(clients[1]);
    while (client_totals(helper->manager).connections == 5)
        ;
    helper_connect(helper, ROLE(VMM), "instead of it");
}

/* Nothing to do, and the helper knows it: one that spins is never seen asleep. */
static bool is_asleep(struct helper *helper) {
    char path[64], state = '?';
    snprintf(path, sizeof(path), "/proc/%d/stat", helper->pid);
    FILE *stat = fopen(path, "re");
    assert_non_null(stat);
    assert_int_equal(fscanf(stat, "%*d (%*[^)]) %c", &state), 1);
    fclose(stat);
    return state == 'S';
}

/* Out of descriptors: whoever comes now waits, and whoever was there is served. */
static void test_no_descriptor_left_at_accept(void **state) {
    struct helper *helper = helper_start(NULL);
    helper_limit_descriptors(helper, 3);
    struct client *waiting = helper_connect_silent(helper, ROLE(VMM));
    /* No opens: the same limit also bounds descriptors on their way, which the
     * kernel counts over all processes of the helper's user. */
    for (int i = 0; i < 100; i++)
        assert_int_equal(client_open_set(helper->vmm, 1, O_RDWR).code, CODE(NO_SET));
    assert_int_equal(client_totals(helper->manager).connections, 2);
    int looks = 0;
    while (!is_asleep(helper) && ++looks < 100000)
        ;
    assert_true(looks < 100000);
    helper_limit_descriptors(helper, 0);
    assert_int_equal(client_hello(waiting, "at last")->hello->role, ROLE(VMM));
}

/* All at their largest, which is what the memory is for that was taken at the start. */
static void test_defaults_are_real(void **state) {
    struct helper *helper = helper_start(NULL);
    Fdset__V1__Limits *limits =
        client_hello(helper_connect_silent(helper, ROLE(OBSERVER)), "reads limits")->hello->limits;
    uint32_t members = limits->members, leases = limits->leases_per_vmm;
    int disk = file_open("disk", O_RDONLY);
    static struct wanted wanted[250];
    static struct opened results[250];

    for (uint32_t left = members; left > 0;) {
        size_t now = left > 250 ? 250 : left;
        assert_int_equal(try_add(helper->manager, 1, disk, now)->body_case, REPLY(ADDED));
        left -= (uint32_t)now;
    }
    assert_refused(try_add(helper->manager, 1, disk, 1), CODE(LIMIT), ENOSPC);
    for (int i = 0; i < 250; i++)
        wanted[i] = (struct wanted){"/dev/fdset/1", O_RDONLY};
    for (uint32_t left = leases; left > 0;) {
        size_t now = left > 250 ? 250 : left;
        client_open_many(helper->vmm, wanted, now, results);
        for (size_t i = 0; i < now; i++) {
            assert_int_equal(results[i].code, 0);
            harness_close(results[i].fd);
        }
        left -= (uint32_t)now;
    }
    struct opened more = client_open_set(helper->vmm, 1, O_RDONLY);
    expect_limit(&more);
    assert_held(helper, disk, (int)members);
    client_hang_up(helper->vmm);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_sets),
        helper_test(test_members),
        helper_test(test_full_packets_at_the_limit),
        helper_test(test_leases),
        helper_test(test_leases_per_vmm),
        helper_test(test_connections),
        helper_test(test_no_descriptor_left_at_accept),
        helper_test(test_defaults_are_real),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

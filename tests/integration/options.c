/* SPDX-License-Identifier: MIT */
/* The command line, and how a helper ends. */
#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static char output[16384];

static int run(const char *const *arguments, const int *inherited) {
    return helper_run(arguments, inherited, output, sizeof(output));
}

#define ARGUMENTS(...) ((const char *[]){__VA_ARGS__, NULL})

static void test_help(void **state) {
    static const char *const options[] = {"--manage ",    "--vmm ",    "--observe ", "--manage-fd ",
                                          "--vmm-fd ",    "--add-fd ", "--linger",   "--limit ",
                                          "--observe-fd", "--help",    "--version"};
    assert_int_equal(run(ARGUMENTS("--help"), NULL), 0);
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        if (!strstr(output, options[i]))
            fail_msg("--help does not tell of %s", options[i]);
}

static void test_version(void **state) {
    assert_int_equal(run(ARGUMENTS("--version"), NULL), 0);
    assert_memory_equal(output, "fdset-helper ", 13);
    assert_true(output[13] >= '0' && output[13] <= '9');
}

static void test_wrong_usage(void **state) {
    static const char *const wrong[][4] = {
        {NULL},
        {"--nonsense"},
        {"argument"},
        {"--manage"},
        {"--vmm-fd", "0"},
        {"--vmm-fd", "x"},
        {"--vmm-fd", "-1"},
        {"--vmm-fd", "99999999999999999999"},
        {"--vmm", "x,name="}, /* options of an endpoint */
        {"--vmm", "x,name"},
        {"--vmm", "x,nonsense=1"},
        {"--vmm", "x,leases=0"},
        {"--vmm", "x,leases=1000001"},
        {"--vmm", "x,name=v\tm"},
        {"--vmm", "x,a comma that is not written twice"},
        {"--vmm-fd", "3,leases=x"},
        {"--manage", "x,name=vm"},
        {"--limit", "sets"},
        {"--limit", "sets="},
        {"--limit", "sets=0"},
        {"--limit", "sets=-1"},
        {"--limit", "sets=3x"},
        {"--limit", "sets=4294967297"},
        {"--limit", "nonsense=3"},
        {"--user", "0"},
        {"--user", "root"},
        {"--user", ""},
        {"--user", "nobody:"},
        {"--user", "no-such-user"},
        {"--user", "nobody:no-such-group"},
        {"--user", "4294967295"},
        {"--vmm-mode", "0660"}, /* for no socket */
        {"--vmm-mode", ""},
        {"--vmm-mode", "660x"},
        {"--vmm-mode", "-1"},
        {"--vmm-mode", "0680"},
        {"--manage-mode", "4600"},
        {"--observe-mode", "u+rw"},
        {"--vmm-owner", "nobody"}, /* for no socket */
        {"--vmm-owner", ""},
        {"--vmm-owner", ":"},
        {"--manage-owner", "no-such-user"},
        {"--observe-owner", ":no-such-group"},
        {"--sandbox", "off"},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        print_message("# %s %s\n", wrong[i][0] ? wrong[i][0] : "", wrong[i][1] ? wrong[i][1] : "");
        assert_int_equal(run(wrong[i], NULL), 2);
        assert_true(strlen(output) > 20);
    }
}

/* Not of a user without a name, nor of a number that is missing where one was given. */
static void test_wrong_ids_are_told(void **state) {
    static const char *const rows[][3] = {
        {"--user", ":5", "expected USER or USER:GROUP"},
        {"--user", "4294967295", "no user has the number 4294967295"},
        {"--user", "99999999999999999999", "no user has the number 99999999999999999999"},
        {"--user", "5:4294967295", "no group has the number 4294967295"},
        {"--vmm-owner", "4294967295", "no user has the number 4294967295"},
        {"--vmm-owner", ":4294967295", "no group has the number 4294967295"},
        {"--vmm-owner", "7seas", "there is no user '7seas' in /etc/passwd: give a number"},
        {"--vmm-owner", ":no-such", "there is no group 'no-such' in /etc/group: give a number"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(run(ARGUMENTS(rows[i][0], rows[i][1]), NULL), 2);
        if (!strstr(output, rows[i][2]))
            fail_msg("%s %s: %s", rows[i][0], rows[i][1], output);
    }
}

/* ---------------------------------------------------------------- --add-fd */

/* What QEMU's -add-fd refuses, refused as a wrong command line. FD is an open descriptor. */
static void test_add_fd_refused(void **state) {
    static const char *const wrong[] = {
        "fd=FD",
        "set=1",
        "fd=FD,set=",
        "fd=,set=1",
        "fd=FD,set=-1",
        "fd=FD,set=2147483648",
        "fd=FD,set=1x",
        "fd=-1,set=1",
        "fd=0,set=1",
        "fd=2,set=1",
        "fd=999,set=1",
        "fd=FDx,set=1",
        "fd=99999999999999999999,set=1",
        "fd=FD,set=1,nonsense=1",
        "fd=FD,set=1,opaque",
        "FD",
        "",
    };
    int disk = file_open("disk", O_RDWR);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char option[64], *at;
        snprintf(option, sizeof(option), "%s", wrong[i]);
        if ((at = strstr(option, "FD")))
            snprintf(at, sizeof(option) - (size_t)(at - option), "%d%s", disk,
                     strstr(wrong[i], "FD") + 2);
        print_message("# --add-fd %s\n", option);
        assert_int_equal(
            run(ARGUMENTS("--manage", file_path("m"), "--add-fd", option), (int[]){disk, -1}), 2);
    }
}

static void test_add_fd(void **state) {
    int ro = file_open("disk", O_RDONLY), rw = file_open("disk", O_RDWR);
    char first[64], second[64], third[64];
    snprintf(first, sizeof(first), "fd=%d,set=0,opaque=a,,b=c,,", ro);
    snprintf(second, sizeof(second), "set=0,fd=%d", rw);
    int again = file_open("disk", O_RDONLY);
    snprintf(third, sizeof(third), "opaque=,fd=%d,set=2147483647", again);
    struct helper *helper =
        helper_start_with(ARGUMENTS("--add-fd", first, "--add-fd", second, "--add-fd", third),
                          (int[]){ro, rw, again, -1});

    QueryReply *page = client_query(helper->manager, SET_ALL, NULL);
    assert_int_equal(page->n_sets, 2);
    SetInfo *set = page->sets[0];
    assert_int_equal(set->set, 0);
    assert_int_equal(set->lifetime, LIFETIME(KEEP));
    assert_int_equal(set->n_members, 2);
    assert_string_equal(set->members[0]->opaque, "a,b=c,");
    assert_int_equal(set->members[1]->label_case, FDSET__V1__MEMBER_INFO__LABEL__NOT_SET);
    set = page->sets[1];
    assert_int_equal(set->set, 2147483647);
    assert_int_equal(set->members[0]->label_case, FDSET__V1__MEMBER_INFO__LABEL_OPAQUE);
    assert_string_equal(set->members[0]->opaque, "");
    /* It came with the helper, not with the machine's start. */
    assert_true(set->members[0]->age_ms <= page->totals->uptime_ms);
    assert_in_range(page->totals->uptime_ms, 0, 60000);

    assert_serves(client_open_set(helper->vmm, 0, O_RDONLY).fd, ro, O_RDONLY);
    assert_serves(client_open_set(helper->vmm, 0, O_RDWR).fd, rw, O_RDWR);
    assert_serves(client_open_set(helper->vmm, 2147483647, O_RDONLY).fd, again, O_RDONLY);
    assert_held(helper, ro, 3); /* the inherited numbers themselves are closed */
    for (int id = 0; id >= 0; id = id ? -1 : 2147483647)
        client_remove(helper->manager, id, 0);
    if (helper->descriptors >= 0)
        helper->descriptors -= 3;
}

/* An open of the one would change the flags of the other, and its end take the locks. */
static void test_add_fd_of_duplicates(void **state) {
    int disk = file_open("disk", O_RDWR), copy = harness_keep(dup(disk));
    int numbers[] = {disk, copy};
    for (int set = 1; set <= 2; set++) {
        for (int i = 0; i < 2; i++) {
            char one[64], two[64];
            snprintf(one, sizeof(one), "fd=%d,set=1", disk);
            snprintf(two, sizeof(two), "fd=%d,set=%d", numbers[i], set);
            assert_int_equal(
                run(ARGUMENTS("--manage", file_path("m"), "--add-fd", one, "--add-fd", two),
                    (int[]){disk, copy, -1}),
                1);
            assert_non_null(strstr(output, "open the file once for each"));
        }
    }
}

/* One option would have what the other has taken, or one socket two roles. */
static void test_descriptor_for_two_options(void **state) {
    static const char *const options[][2] = {
        {"--vmm-fd", "--manage-fd"}, {"--vmm-fd", "--vmm-fd"}, {"--ready-fd", "--observe-fd"}};
    int sockets[2], disk = file_open("disk", O_RDWR);
    char number[16], add[32];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
    harness_keep(sockets[0]);
    harness_keep(sockets[1]);
    snprintf(number, sizeof(number), "%d", sockets[0]);
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        assert_int_equal(
            run(ARGUMENTS(options[i][0], number, options[i][1], number), (int[]){sockets[0], -1}),
            2);
        assert_non_null(strstr(output, "is given to two options"));
    }
    snprintf(number, sizeof(number), "%d", disk);
    snprintf(add, sizeof(add), "fd=%d,set=1", disk);
    assert_int_equal(
        run(ARGUMENTS("--manage", file_path("m"), "--ready-fd", number, "--add-fd", add),
            (int[]){disk, -1}),
        2);
    assert_non_null(strstr(output, "is given to two options"));
}

static void test_add_fd_of_what_is_no_file(void **state) {
    int sockets[2];
    char option[64];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    harness_keep(sockets[0]);
    harness_keep(sockets[1]);
    snprintf(option, sizeof(option), "fd=%d,set=1", sockets[0]);
    assert_int_equal(
        run(ARGUMENTS("--manage", file_path("m"), "--add-fd", option), (int[]){sockets[0], -1}), 1);
}

static void test_add_fd_of_another_file(void **state) {
    int disk = file_open("disk", O_RDWR), other = file_open("other", O_RDWR);
    char one[64], two[64];
    snprintf(one, sizeof(one), "fd=%d,set=1", disk);
    snprintf(two, sizeof(two), "fd=%d,set=1", other);
    assert_int_equal(run(ARGUMENTS("--manage", file_path("m"), "--add-fd", one, "--add-fd", two),
                         (int[]){disk, other, -1}),
                     1);
}

/* ----------------------------------------------------------------- the end */

static void test_ends_with_its_vmm(void **state) {
    struct helper *helper = helper_start(NULL);
    helper_connect(helper, ROLE(MANAGER), "does not hold it");
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    client_hang_up(helper->vmm);
    assert_int_equal(helper_wait(helper), 0);
    assert_hung_up(helper->manager);
}

static void test_last_vmm_counts(void **state) {
    struct helper *helper = helper_start(NULL);
    struct client *second = helper_connect(helper, ROLE(VMM), "second");
    client_hang_up(helper->vmm);
    client_add_one(helper->manager, 1, file_open("disk", O_RDWR));
    assert_true(client_open_set(second, 1, O_RDWR).fd >= 0);
    client_hang_up(second);
    assert_int_equal(helper_wait(helper), 0);
}

static void test_does_not_end_with_its_manager(void **state) {
    struct helper *helper = helper_start(NULL);
    client_hang_up(helper->manager);
    client_barrier(helper->vmm);
    helper_connect(helper, ROLE(MANAGER), "the next");
}

static void test_linger(void **state) {
    struct helper *helper = helper_start(ARGUMENTS("--linger"));
    int disk = file_open("disk", O_RDWR);
    struct new_member member = {.fd = disk};
    client_add_set(helper->manager, 1, LIFETIME(KEEP), &member, 1);
    client_hang_up(helper->vmm);
    while (client_totals(helper->manager).connections == 2)
        ;
    struct client *next = helper_connect(helper, ROLE(VMM), "the next");
    assert_serves(client_open_set(next, 1, O_RDWR).fd, disk, O_RDWR);
    client_hang_up(next);
    kill(helper->pid, SIGTERM);
    assert_int_equal(helper_wait(helper), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        helper_test(test_help),
        helper_test(test_version),
        helper_test(test_wrong_usage),
        helper_test(test_wrong_ids_are_told),
        helper_test(test_add_fd_refused),
        helper_test(test_add_fd),
        helper_test(test_add_fd_of_duplicates),
        helper_test(test_descriptor_for_two_options),
        helper_test(test_add_fd_of_what_is_no_file),
        helper_test(test_add_fd_of_another_file),
        helper_test(test_ends_with_its_vmm),
        helper_test(test_last_vmm_counts),
        helper_test(test_does_not_end_with_its_manager),
        helper_test(test_linger),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
